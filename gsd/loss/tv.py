"""Smooth pictures."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Loss
from gsd.schedule import Weight
from gsd.types import StepState


@dataclass
class TV(Loss):
    """Total variation: mean absolute difference of the rgb of neighbouring pixels, rows and columns added."""

    weight: Weight = 1.0

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        rgb = state.render.rgb
        if min(rgb.shape[-2:]) < 2:
            return rgb.sum() * 0.0
        return rgb.diff(dim=-2).abs().mean() + rgb.diff(dim=-1).abs().mean()
