"""Thin surfaces of a radiance field."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.protocols import Loss
from gsd.schedule import Schedule
from gsd.types import StepState


class ZVariance(Loss):
    """mean variance of z along the rays with alpha > 0.5, world units squared: thin surfaces (HiFA)."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        shown = state.render
        if shown.z_variance is None:
            raise GsdError("loss=z_variance needs a radiance field: use representation=instant_ngp or drop it.")
        hit = shown.alpha > 0.5
        return (shown.z_variance * hit).sum() / hit.sum().clamp_min(1)
