"""Score Jacobian chaining."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.guidance.parts.branches import guide
from gsd.guidance.parts.shaping import Clip, Scale, scale_at
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.types import Condition, Score, Share

USUAL = 100.0  # guidance scale, for Stable Diffusion


class SJC:
    """gradient = (z - D(z + sigma n; sigma)) / sigma: Perturb-and-Average Scoring (Wang et al. 2023, section 4).

    The score of the noised distribution at a clean z is E_n[(D(z + sigma n) - z) / sigma^2]; one n a step estimates it
    and the optimiser averages. Weighted by sigma, as in their implementation. Without `variance_reduction` z is
    replaced by z + sigma n, which is the same in expectation, as n has mean 0, and much noisier. With it the gradient
    is eps_hat - n: SDS with uniform weights. D is that of eps_hat as in SDS, `guidance_scale` in the convention of
    diffusers, which is also that of their code (100); threestudio's 100 is 101 here. Their t is 0.01 to 0.97.
    """

    draws_own_noise = False

    def __init__(
        self,
        guidance_scale: Scale | None = None,
        rescale: Share = 0.0,
        variance_reduction: bool = True,
        clip: Clip | None = None,
    ) -> None:
        self.guidance_scale, self.rescale = guidance_scale, rescale
        self.variance_reduction, self.clip = variance_reduction, clip

    @torch.no_grad()
    def __call__(
        self,
        prior: Prior,
        z: Float[Tensor, "V C h w"],
        noise: Float[Tensor, "V C h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
        rng: Stream,
    ) -> Score:
        level = sigma[:, None, None, None]
        x = z + level * noise
        guided = guide(prior, x, sigma, condition, scale_at(self.guidance_scale, prior, USUAL, rng.step), self.rescale)
        denoised = x - level * guided.eps
        gradient = ((z if self.variance_reduction else x) - denoised) / level
        if self.clip is not None:
            gradient = self.clip(gradient, rng.step)
        return Score(gradient, guided.eps, guided.delta, guided.calls)
