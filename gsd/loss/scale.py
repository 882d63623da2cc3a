"""No blown-up Gaussians."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.protocols import Loss
from gsd.schedule import Schedule
from gsd.types import StepState


class Scale(Loss):
    """mean largest standard deviation of the Gaussians, world units: no blown-up Gaussians."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        if state.scene.scales is None:
            raise GsdError("loss=scale needs a representation with scales: use representation=gaussians or drop it.")
        return state.scene.scales.amax(-1).mean()
