"""Noise-free score distillation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gsd.guidance.parts.branches import Projection, View, contrast
from gsd.guidance.parts.shaping import GradientClip, Weighting, shaped
from gsd.noise_levels import step_at
from gsd.protocols import Guidance, Prior
from gsd.ranges import Fraction
from gsd.schedule import Scale, at
from gsd.types import Noised, Score

UNWANTED = "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, dark, low-resolution, gloomy"


@dataclass
class NFSD(Guidance):
    """gradient = w(sigma) (d_D + guidance_scale (e(x, y) - e(x, ""))) (Katzir et al. 2023).

    e is the noise predicted at x = z + sigma n. d_D, the direction towards real images (eq. 6), is what is left of
    e(x, "") without the noise it removes:
    - t >= `threshold`: e(x, "") - e(x, y_neg), where both remove the same noise
    - t < `threshold`: e(x, "") itself, where there is little noise

    View guidance adds view_scale (e(x, y) - e(x, y_opposite)), see `gsd.guidance.parts.branches.guide`.

    y_neg is `unwanted`, or the negative prompt if `prompting` has one. For a prior that ignores y_neg, d_D is 0 above
    the threshold, and what remains is classifier score distillation.
    """

    guidance_scale: Scale = 7.5
    unwanted: str = UNWANTED
    threshold: Fraction = 0.2  # fraction of the training steps
    weighting: Weighting = "one_minus_abar"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    def __post_init__(self) -> None:
        self.texts = (self.unwanted,)

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        table = prior.log_sigmas().to(given.sigma)
        large = step_at(given.sigma, table).round() >= len(table) * self.threshold
        condition = given.condition
        unwanted = tuple(text or self.unwanted for text in condition.negatives or ("",) * len(condition.texts))
        step = given.rng.step
        scale = at(self.guidance_scale, step)
        view = View(at(self.view_scale, step), self.view_projection)
        asked = [condition.with_texts(unwanted)] if large.any() else []
        both = contrast(prior, given.x, given.sigma, condition, condition.unconditional(), asked, view)
        domain = both.base
        if asked:
            domain = domain - torch.where(large[:, None, None, None], both.others[0], 0.0)
        lead = both.lead(scale * both.direction, view)
        gradient = shaped(domain + lead, given, self.weighting, self.clip)
        return Score(gradient, both.base + lead, both.text - both.base, both.calls, domain + lead, both.view)
