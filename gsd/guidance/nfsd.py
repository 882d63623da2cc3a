"""Noise-free score distillation."""

from __future__ import annotations

import torch

from gsd.guidance.parts.branches import contrast
from gsd.guidance.parts.shaping import GradientClip, Scale, Weighting, shaped
from gsd.noise_levels import TRAIN_STEPS, sigma_at
from gsd.protocols import Guidance, Prior
from gsd.schedule import at
from gsd.types import Condition, Fraction, Noised, Score

UNWANTED = "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, dark, low-resolution, gloomy"


class NFSD(Guidance):
    """gradient = w(sigma) (d_D + guidance_scale (e(x, y) - e(x, ""))) (Katzir et al. 2023).

    e is the noise predicted at x = z + sigma n. d_D, the direction towards real images (eq. 6), is what is left of
    e(x, "") without the noise it removes: e(x, "") - e(x, y_neg) for t >= `threshold` (of 1000 steps; source 0.2),
    where both remove the same noise, and e(x, "") below, where there is little. y_neg are `unwanted`, the source's
    words, or the negative prompt if `prompting` has one. A prior that does not heed y_neg has d_D = 0 above the
    threshold, and what remains there is classifier score distillation. w and clip: `gsd.guidance.parts.shaping`.
    """

    def __init__(
        self,
        guidance_scale: Scale = 7.5,
        unwanted: str = UNWANTED,
        threshold: Fraction = 0.2,
        weighting: Weighting = "one_minus_abar",
        clip: GradientClip | None = None,
    ) -> None:
        self.guidance_scale, self.unwanted = guidance_scale, unwanted
        self.weighting, self.clip = weighting, clip
        self.texts = (unwanted,)
        self.small = float(sigma_at(torch.tensor(TRAIN_STEPS * threshold)))

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        condition, large = given.condition, given.sigma >= self.small
        unwanted = tuple(text or self.unwanted for text in condition.negatives or ("",) * len(condition.texts))
        asked = [Condition(unwanted, condition.cameras)] if large.any() else []
        both = contrast(prior, given.x, given.sigma, given.condition, condition.unconditional(), asked)
        domain = both.base
        if asked:
            domain = domain - torch.where(large[:, None, None, None], both.others[0], 0.0)
        lead = at(self.guidance_scale, given.rng.step) * both.direction
        gradient = shaped(domain + lead, given, self.weighting, self.clip)
        return Score(gradient, both.base + lead, both.text - both.base, both.calls, domain + lead)
