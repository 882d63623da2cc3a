"""Small Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.protocols import Loss
from gsd.schedule import Weight
from gsd.types import StepState


@dataclass
class Scales(Loss):
    """Sum of the scales of all Gaussians along all axes, world units (threestudio-3dgs)."""

    weight: Weight = 1e-4

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        if state.scene.scales is None:
            raise GsdError("loss=scales is of Gaussians; add representation=gaussians, or drop it.")
        return state.scene.scales.sum()
