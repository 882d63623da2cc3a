"""Pixels are either object or background."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Loss
from gsd.schedule import Weight
from gsd.types import StepState


@dataclass
class Opaque(Loss):
    """Mean binary entropy of alpha, clamped to [1e-3, 1 - 1e-3] (threestudio)."""

    weight: Weight = 1.0

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        alpha = state.render.alpha.clamp(1e-3, 1 - 1e-3)
        return F.binary_cross_entropy(alpha, alpha)
