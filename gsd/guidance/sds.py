"""Score distillation sampling."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from gsd.guidance.branches import guide
from gsd.protocols import Prior
from gsd.types import Condition, Score

Weighting = Literal["one_minus_abar", "uniform"]


class SDS:
    """gradient = w(sigma) (eps_hat(z + sigma n) - n) (Poole et al. 2022, eq. 3; eq. 10 of the paper up to the weight).

    eps_hat = eps_uncond + guidance_scale (eps_text - eps_uncond), the convention of diffusers; threestudio's numbers
    are one lower. At guidance_scale 1 the unconditional branch is not asked. A negative prompt takes the place of the
    unconditional branch, and Perp-Neg adds to the difference (`gsd.guidance.branches.guide`). w is
    1 - abar = sigma^2 / (1 + sigma^2), or 1.
    """

    draws_own_noise = False

    def __init__(
        self, guidance_scale: Annotated[float, Field(ge=0)] = 1.0, weighting: Weighting = "one_minus_abar"
    ) -> None:
        self.guidance_scale, self.weighting = guidance_scale, weighting

    @torch.no_grad()
    def __call__(
        self,
        prior: Prior,
        z: Float[Tensor, "V C h w"],
        noise: Float[Tensor, "V C h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
    ) -> Score:
        level = sigma[:, None, None, None]
        guided = guide(prior, z + level * noise, sigma, condition, self.guidance_scale)
        weight = level**2 / (1 + level**2) if self.weighting == "one_minus_abar" else torch.ones_like(level)
        return Score(weight * (guided.eps - noise), guided.eps, guided.delta, guided.calls)
