"""Smooth pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Loss
from gsd.schedule import Weight
from gsd.types import StepState


@dataclass
class TV(Loss):
    """Total variation: mean absolute difference of the rgb of neighbouring pixels, rows and columns added.

    squares: twice the mean squared difference instead (threestudio).
    """

    weight: Weight = 1.0
    squares: bool = False

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        rgb = state.render.rgb
        if min(rgb.shape[-2:]) < 2:
            return rgb.sum() * 0.0
        differences = rgb.diff(dim=-2), rgb.diff(dim=-1)
        if self.squares:
            return 2 * torch.stack([each.square().mean() for each in differences]).sum()
        return torch.stack([each.abs().mean() for each in differences]).sum()
