"""Score distillation sampling."""

from __future__ import annotations

import torch

from gsd.guidance.parts.branches import RescaleOf, guide
from gsd.guidance.parts.shaping import GradientClip, Scale, Weighting, scale_at, shaped
from gsd.protocols import Guidance, Prior
from gsd.types import Fraction, Noised, Score

USUAL = 101.0  # guidance scale, for Stable Diffusion; DreamFusion's 100 counts from the text


class SDS(Guidance):
    """gradient = w(sigma) (eps_hat(z + sigma n) - n) (Poole et al. 2022, eq. 3; eq. 10 of the paper up to the weight).

    eps_hat = eps_uncond + guidance_scale (eps_text - eps_uncond), the convention of diffusers; threestudio's numbers
    are one lower; without a number, what suits the prior. At guidance_scale 1 the unconditional branch is not asked. A
    negative prompt takes the place of the unconditional branch, and Perp-Neg adds to the difference
    (`gsd.guidance.parts.branches.guide`). rescale in [0, 1] gives eps_hat the spread of eps_text (`rescaled` there),
    or, with rescale_of=latents, the denoised latents that of the text alone, over all views of a group. w and clip:
    `gsd.guidance.parts.shaping`.

    With weighting=sigma it is the gradient of MVDream's x0-reconstruction loss |z - D(x)|^2 / 2, D held fixed (Shi et
    al. 2023, section 3.2): z - D = z - (x - sigma eps_hat) = sigma (eps_hat - n). guidance=x0 has its numbers.
    """

    def __init__(
        self,
        guidance_scale: Scale | None = None,
        rescale: Fraction = 0.0,
        rescale_of: RescaleOf = "noise",
        weighting: Weighting = "one_minus_abar",
        clip: GradientClip | None = None,
    ) -> None:
        self.guidance_scale, self.rescale, self.rescale_of = guidance_scale, rescale, rescale_of
        self.weighting, self.clip = weighting, clip

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        scale = scale_at(self.guidance_scale, prior, USUAL, given.rng.step)
        guided = guide(prior, given.x, given.sigma, given.condition, scale, self.rescale, self.rescale_of)
        gradient = shaped(guided.eps - given.noise, given, self.weighting, self.clip)
        return Score(gradient, guided.eps, guided.delta, guided.calls)
