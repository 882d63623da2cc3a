"""Score Jacobian chaining."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gsd.guidance.parts.branches import Projection, View, guide
from gsd.guidance.parts.shaping import GradientClip, scale_at
from gsd.protocols import Guidance, Prior
from gsd.ranges import Fraction
from gsd.schedule import Scale, at
from gsd.types import Noised, Score

USUAL = 100.0  # guidance scale for Stable Diffusion


@dataclass
class SJC(Guidance):
    """gradient = (z - D(z + sigma n; sigma)) / sigma: Perturb-and-Average Scoring (Wang et al. 2023, section 4).

    The score of the noised distribution at a clean z is E_n[(D(z + sigma n) - z) / sigma^2]. One n per step estimates
    it and the optimiser averages. The weight sigma is that of their implementation. With `variance_reduction` the
    gradient equals eps_hat - n, which is SDS with uniform weights; without it z is replaced by z + sigma n, the same in
    expectation and much noisier.

    `guidance_scale` follows diffusers, as does their code (100); threestudio's 100 is 101 here. Their t is 0.01 to
    0.97.
    """

    guidance_scale: Scale | None = None  # None: the prior's own, else 100
    rescale: Fraction = 0.0
    variance_reduction: bool = True
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        step, condition = given.rng.step, given.condition
        scale = scale_at(self.guidance_scale, prior, USUAL, step)
        view = View(at(self.view_scale, step), self.view_projection)
        guided = guide(prior, given.x, given.sigma, condition, scale, self.rescale, view=view)
        denoised = given.x - given.level * guided.eps
        gradient = ((given.latents if self.variance_reduction else given.x) - denoised) / given.level
        if self.clip is not None:
            gradient = self.clip(gradient, step)
        return Score(gradient, guided.eps, guided.delta, guided.calls, view_delta=guided.view)
