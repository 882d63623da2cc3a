"""Little opacity in Gaussians, the least in large ones."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.protocols import Loss
from gsd.schedule import Weight
from gsd.types import StepState


@dataclass
class Opacity(Loss):
    """Sum over Gaussians of opacity times the norm of the scales, which are detached (threestudio-3dgs)."""

    weight: Weight = 1e-4

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        scene = state.scene
        if scene.opacities is None or scene.scales is None:
            raise GsdError("loss=opacity is of Gaussians; add representation=gaussians, or drop it.")
        return (scene.scales.detach().norm(dim=-1) * scene.opacities).sum()
