"""Noise-free score distillation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.guidance.parts.branches import contrast
from gsd.guidance.parts.shaping import Clip, Scale, Weighting, shaped
from gsd.noise_levels import TRAIN_STEPS, sigma_at
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.schedule import at
from gsd.types import Condition, Score, Share

UNWANTED = "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, dark, low-resolution, gloomy"


class NFSD:
    """gradient = w(sigma) (d_D + guidance_scale (e(x, y) - e(x, ""))) (Katzir et al. 2023).

    e is the noise predicted at x = z + sigma n. d_D, the direction towards real images (eq. 6), is what is left of
    e(x, "") without the noise it removes: e(x, "") - e(x, y_neg) for t >= `threshold` (of 1000 steps; source 0.2),
    where both remove the same noise, and e(x, "") below, where there is little. y_neg are `unwanted`, the source's
    words, or the negative prompt if `prompting` has one. A prior that does not heed y_neg has d_D = 0 above the
    threshold, and what remains there is classifier score distillation. w and clip: `gsd.guidance.parts.shaping`.
    """

    draws_own_noise = False

    def __init__(
        self,
        guidance_scale: Scale = 7.5,
        unwanted: str = UNWANTED,
        threshold: Share = 0.2,
        weighting: Weighting = "one_minus_abar",
        clip: Clip | None = None,
    ) -> None:
        self.guidance_scale, self.unwanted = guidance_scale, unwanted
        self.weighting, self.clip = weighting, clip
        self.texts = (unwanted,)
        self.small = float(sigma_at(torch.tensor(TRAIN_STEPS * threshold)))

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
        x = z + sigma[:, None, None, None] * noise
        large = sigma >= self.small
        negatives = condition.negatives or ()
        unwanted = Condition(tuple(text or self.unwanted for text in negatives) or (self.unwanted,) * len(x))
        asked = [Condition(unwanted.texts, condition.cameras)] if large.any() else []
        both = contrast(prior, x, sigma, condition, condition.unconditional(), asked)
        domain = both.base
        if asked:
            domain = domain - torch.where(large[:, None, None, None], both.others[0], 0.0)
        lead = at(self.guidance_scale, rng.step) * both.direction
        gradient = shaped(domain + lead, sigma, self.weighting, self.clip, rng.step)
        return Score(gradient, both.base + lead, both.text - both.base, both.calls, domain + lead)
