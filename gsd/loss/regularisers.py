"""The regularisers of the incumbents: simple priors on alpha, colour and Gaussians."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.schedule import Schedule
from gsd.types import StepState


class Sparsity:
    """mean sqrt(alpha^2 + 0.01): little matter in the air (threestudio)."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        return (state.render.alpha**2 + 0.01).sqrt().mean()


class Opaque:
    """mean binary entropy of alpha, clamped to [1e-3, 1 - 1e-3]: pixels are either object or not (threestudio)."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        alpha = state.render.alpha.clamp(1e-3, 1 - 1e-3)
        return F.binary_cross_entropy(alpha, alpha)


class TV:
    """mean absolute difference of neighbouring pixels' rgb: smooth pictures."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        rgb = state.render.rgb
        if min(rgb.shape[-2:]) < 2:
            return rgb.sum() * 0.0
        return (rgb[..., 1:, :] - rgb[..., :-1, :]).abs().mean() + (rgb[..., 1:] - rgb[..., :-1]).abs().mean()


class Scale:
    """mean largest standard deviation of the Gaussians, world units: no blown-up Gaussians."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        if state.scene.scales is None:
            raise GsdError("loss=scale needs a representation with scales: use representation=gaussians or drop it.")
        return state.scene.scales.amax(-1).mean()
