"""Visible surfaces face the camera."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.protocols import Loss
from gsd.schedule import Linear, Weight
from gsd.types import StepState

RISING = Linear(kind="linear", start=10.0, end=1000.0, until=5000)  # threestudio's DreamFusion


@dataclass
class Orient(Loss):
    """Sum of w max(n . d, 0)^2 over samples, per pixel with alpha > 0: penalises normals n that face away.

    d is the direction of the ray, w the compositing weight of the sample, detached (Ref-NeRF, eq. 11; threestudio).
    """

    weight: Weight = RISING

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        shown = state.render
        if shown.orientation is None:
            raise GsdError(
                "loss=orient needs normals: add representation.normals=analytic to representation=instant_ngp, "
                "or drop it."
            )
        return shown.orientation.sum() / (shown.alpha > 0).sum().clamp_min(1)
