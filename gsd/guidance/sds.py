"""Score distillation sampling."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gsd.guidance.parts.branches import Projection, RescaleOf, View, guide
from gsd.guidance.parts.shaping import GradientClip, Weighting, scale_at, shaped
from gsd.protocols import Guidance, Prior
from gsd.ranges import Fraction
from gsd.schedule import Scale, at
from gsd.types import Noised, Score

USUAL = 101.0  # guidance scale for Stable Diffusion; DreamFusion's 100 counts from the text


@dataclass
class SDS(Guidance):
    """gradient = w(sigma) (eps_hat(z + sigma n) - n) (Poole et al. 2022, eq. 3; eq. 10 of the paper up to the weight).

    eps_hat is the guided prediction of `gsd.guidance.parts.branches.guide`, which also handles negative prompts,
    Perp-Neg, view guidance and `rescale`. Scales follow diffusers; threestudio's numbers are one lower.

    With weighting=sigma it is the gradient of MVDream's x0-reconstruction loss |z - D(x)|^2 / 2 with D held fixed (Shi
    et al. 2023, section 3.2), since z - D = z - (x - sigma eps_hat) = sigma (eps_hat - n). guidance=x0 has the numbers
    of MVDream.
    """

    guidance_scale: Scale | None = None  # None: the prior's own, else 101
    rescale: Fraction = 0.0
    rescale_of: RescaleOf = "noise"
    weighting: Weighting = "one_minus_abar"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        step = given.rng.step
        scale = scale_at(self.guidance_scale, prior, USUAL, step)
        view = View(at(self.view_scale, step), self.view_projection)
        guided = guide(prior, given.x, given.sigma, given.condition, scale, self.rescale, self.rescale_of, view)
        gradient = shaped(guided.eps - given.noise, given, self.weighting, self.clip)
        return Score(gradient, guided.eps, guided.delta, guided.calls, view_delta=guided.view)
