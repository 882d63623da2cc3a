"""Gaussians near the middle."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Loss
from gsd.schedule import Weight
from gsd.types import StepState


@dataclass
class Position(Loss):
    """Mean distance of the scene's points from the origin, world units (threestudio-3dgs)."""

    weight: Weight = 1.0

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        return state.scene.points.norm(dim=-1).mean()
