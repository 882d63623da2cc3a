"""Score Jacobian chaining."""

from __future__ import annotations

import torch

from gsd.guidance.parts.branches import guide
from gsd.guidance.parts.shaping import GradientClip, Scale, scale_at
from gsd.protocols import Guidance, Prior
from gsd.types import Fraction, Noised, Score

USUAL = 100.0  # guidance scale, for Stable Diffusion


class SJC(Guidance):
    """gradient = (z - D(z + sigma n; sigma)) / sigma: Perturb-and-Average Scoring (Wang et al. 2023, section 4).

    The score of the noised distribution at a clean z is E_n[(D(z + sigma n) - z) / sigma^2]; one n a step estimates it
    and the optimiser averages. Weighted by sigma, as in their implementation. Without `variance_reduction` z is
    replaced by z + sigma n, which is the same in expectation, as n has mean 0, and much noisier. With it the gradient
    is eps_hat - n: SDS with uniform weights. D is that of eps_hat as in SDS, `guidance_scale` in the convention of
    diffusers, which is also that of their code (100); threestudio's 100 is 101 here. Their t is 0.01 to 0.97.
    """

    def __init__(
        self,
        guidance_scale: Scale | None = None,
        rescale: Fraction = 0.0,
        variance_reduction: bool = True,
        clip: GradientClip | None = None,
    ) -> None:
        self.guidance_scale, self.rescale = guidance_scale, rescale
        self.variance_reduction, self.clip = variance_reduction, clip

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        scale = scale_at(self.guidance_scale, prior, USUAL, given.rng.step)
        guided = guide(prior, given.x, given.sigma, given.condition, scale, self.rescale)
        denoised = given.x - given.level * guided.eps
        gradient = ((given.latents if self.variance_reduction else given.x) - denoised) / given.level
        if self.clip is not None:
            gradient = self.clip(gradient, given.rng.step)
        return Score(gradient, guided.eps, guided.delta, guided.calls)
