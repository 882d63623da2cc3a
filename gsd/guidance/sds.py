"""Score distillation sampling."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from gsd.protocols import Prior
from gsd.types import Condition, Score

Weighting = Literal["one_minus_abar", "uniform"]


class SDS:
    """gradient = w(sigma) (eps_hat(z + sigma n) - n) (Poole et al. 2022, eq. 3; eq. 10 of the paper up to the weight).

    eps_hat = eps_uncond + guidance_scale (eps_text - eps_uncond), the convention of diffusers; threestudio's numbers
    are one lower. At guidance_scale 1 the unconditional branch is not asked. w is 1 - abar = sigma^2 / (1 + sigma^2),
    or 1.
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
        x = z + level * noise
        if self.guidance_scale == 1:
            eps, delta = (x - prior.denoise(x, sigma, condition)) / level, None
        else:
            both = prior.denoise(x.repeat(2, 1, 1, 1), sigma.repeat(2), condition + condition.unconditional())
            text, uncond = ((x.repeat(2, 1, 1, 1) - both) / level.repeat(2, 1, 1, 1)).chunk(2)
            delta = text - uncond
            eps = uncond + self.guidance_scale * delta
        weight = level**2 / (1 + level**2) if self.weighting == "one_minus_abar" else torch.ones_like(level)
        calls = len(z) * (1 if delta is None else 2)
        return Score(gradient=weight * (eps - noise), eps=eps, cfg_delta=delta, prior_calls=calls)
