"""Little matter in empty space."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Loss
from gsd.schedule import Weight
from gsd.types import StepState


@dataclass
class Sparsity(Loss):
    """Mean of sqrt(alpha^2 + 0.01), which removes matter in empty space (threestudio)."""

    weight: Weight = 1.0

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        return (state.render.alpha**2 + 0.01).sqrt().mean()
