"""Smooth pictures."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Loss
from gsd.schedule import Schedule
from gsd.types import StepState


class TV(Loss):
    """mean absolute difference of neighbouring pixels' rgb: smooth pictures."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        rgb = state.render.rgb
        if min(rgb.shape[-2:]) < 2:
            return rgb.sum() * 0.0
        return (rgb[..., 1:, :] - rgb[..., :-1, :]).abs().mean() + (rgb[..., 1:] - rgb[..., :-1]).abs().mean()
