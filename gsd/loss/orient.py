"""Visible surfaces face the camera."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.protocols import Loss
from gsd.schedule import Linear, Schedule
from gsd.types import StepState

RISING = Linear(kind="linear", start=10.0, end=1000.0, until=5000)  # threestudio's DreamFusion


class Orient(Loss):
    """Sum of w max(n . d, 0)^2 over samples / pixels with alpha > 0: no normals n that look away from the camera.

    d is the direction of the ray, w the sample's share of the pixel, detached (Ref-NeRF, eq. 11; threestudio).
    """

    def __init__(self, weight: Schedule = RISING) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        shown = state.render
        if shown.orientation is None:
            raise GsdError(
                "loss=orient needs normals: add representation.normals=analytic to representation=instant_ngp, "
                "or drop it."
            )
        return shown.orientation.sum() / (shown.alpha > 0).sum().clamp_min(1)
