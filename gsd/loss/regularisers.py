"""The regularisers of the incumbents: simple priors on alpha, colour, Gaussians and radiance fields."""

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


class Orient:
    """Sum of w max(n . d, 0)^2 over samples / pixels with alpha > 0: no normals n that look away from the camera.

    d is the direction of the ray, w the sample's share of the pixel, detached (Ref-NeRF, eq. 11; threestudio).
    """

    def __init__(self, weight: Schedule = 10.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        shown = state.render
        if shown.orientation is None:
            raise GsdError(
                "loss=orient needs normals: add representation.normals=analytic to representation=instant_ngp, "
                "or drop it."
            )
        return shown.orientation.sum() / (shown.alpha > 0).sum().clamp_min(1)


class ZVariance:
    """mean variance of z along the rays with alpha > 0.5, world units squared: thin surfaces (HiFA)."""

    def __init__(self, weight: Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        shown = state.render
        if shown.z_variance is None:
            raise GsdError("loss=z_variance needs a radiance field: use representation=instant_ngp or drop it.")
        hit = shown.alpha > 0.5
        return (shown.z_variance * hit).sum() / hit.sum().clamp_min(1)
