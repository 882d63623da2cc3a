"""Little matter in the air."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Loss
from gsd.schedule import Schedule
from gsd.types import StepState


class Sparsity(Loss):
    """mean sqrt(alpha^2 + 0.01): little matter in the air (threestudio)."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        return (state.render.alpha**2 + 0.01).sqrt().mean()
