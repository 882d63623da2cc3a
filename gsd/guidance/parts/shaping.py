"""From a guidance's direction to its gradient: a weight by the noise level, and clipping."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from gsd.protocols import Prior
from gsd.schedule import Scale, Schedule, Within, at
from gsd.types import Noised

Weighting = Literal["one_minus_abar", "uniform", "fantasia3d", "sigma", "velocity", "dmd"]
LEAST_MEAN = 1e-8  # of a direction's absolute values


class GradientClip(BaseModel):
    """A bound on the gradient, as in D-SDS (Hong et al. 2023, section 4.1: score clipping).

    per value    every entry is clamped to [-limit, limit] (D-SDS; threestudio's grad_clip)
    per pixel    the norm over the channels of a latent pixel is at most `limit`; directions stay (Pan et al. 2024 do
                 this to the pixels of the image, behind the encoder)
    per view     the norm of the whole map is at most `limit`

    The limit of D-SDS grows linearly over the run, from 2 to 8 with Stable Diffusion (guidance scale 100, the gradient
    of SJC) and from 0.5 to 2 with DeepFloyd IF (scale 20, weighted as by one_minus_abar): experiment=debiased_sds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    per: Literal["value", "pixel", "view"]
    limit: Annotated[Schedule, Within(0, 1e9)]

    def __call__(self, gradient: Float[Tensor, "V C h w"], step: int) -> Float[Tensor, "V C h w"]:
        limit = at(self.limit, step)
        if self.per == "value":
            return gradient.clamp(-limit, limit)
        over = 1 if self.per == "pixel" else (1, 2, 3)
        norm = torch.linalg.vector_norm(gradient, dim=over, keepdim=True)
        return gradient * (limit / norm.clamp(min=torch.finfo(norm.dtype).tiny)).clamp(max=1)


def scale_at(scale: Scale | None, prior: Prior, usual: float, step: int) -> float:
    """The guidance scale: the given one, else the prior's own (`Prior.guidance_scale`), else the method's usual one."""
    if scale is not None:
        return at(scale, step)
    return usual if prior.guidance_scale is None else prior.guidance_scale


def shaped(
    direction: Float[Tensor, "V C h w"], given: Noised, weighting: Weighting, clip: GradientClip | None
) -> Float[Tensor, "V C h w"]:
    """Multiply a direction by w(sigma) and clip it."""
    gradient = weight(weighting, given.sigma, direction) * direction
    return gradient if clip is None else clip(gradient, given.rng.step)


def weight(
    weighting: Weighting, sigma: Float[Tensor, " V"], direction: Float[Tensor, "V C h w"]
) -> Float[Tensor, "V 1 1 1"]:
    """w(sigma) per view, with abar = 1 / (1 + sigma^2).

    one_minus_abar  1 - abar                   DreamFusion's sigma_t^2, threestudio's "sds"
    uniform         1
    fantasia3d      sqrt(abar) (1 - abar)      Fantasia3D
    sigma           sqrt((1 - abar) / abar)    LucidDreamer, CFD; turns a difference of noises into one of latents
    velocity        1 + sigma                  turns a difference of noises into one of velocities, of rectified flows:
                    with it, SDS is RFDS (Yang et al. 2024, 2406.03293), the gradient v_hat - (n - z)
    dmd             1 / mean |direction|       DMD2 (Yin et al. 2024) for the direction eps_hat - n: views of equal size
    """
    level = sigma.to(direction)[:, None, None, None]
    if weighting == "uniform":
        return torch.ones_like(level)
    if weighting == "sigma":
        return level
    if weighting == "velocity":
        return 1 + level
    if weighting == "dmd":
        return 1 / direction.abs().mean((1, 2, 3), keepdim=True).clamp(min=LEAST_MEAN)
    one_minus_abar = level**2 / (1 + level**2)
    return one_minus_abar * (1 + level**2).rsqrt() if weighting == "fantasia3d" else one_minus_abar
