"""Classifier score distillation."""

from __future__ import annotations

import torch

from gsd.guidance.parts.branches import contrast
from gsd.guidance.parts.shaping import GradientClip, Scale, Weighting, shaped
from gsd.protocols import Guidance, Prior
from gsd.schedule import at
from gsd.types import Noised, Score


class CSD(Guidance):
    """gradient = w(sigma) (a (e(x, y) - e(x, "")) + b (e(x, "") - e(x, y_neg))) (Yu et al. 2023).

    e is the noise predicted at x = z + sigma n, a = `guidance_scale`, b = `negative_scale`. The first difference is the
    gradient of an implicit classifier log p(y | x); nothing pulls towards p(x). Without a negative prompt the second is
    0 and two branches are asked, also with one when a = b. w and clip: `gsd.guidance.parts.shaping`.

    The authors have a = 1; b goes from 0 to 1 over the first half of their coarse stage and from 1 to 0.5 over the
    refinement. That coarse stage has DeepFloyd IF, uniform w and gradients of norm 1. Perp-Neg adds to the first
    difference as everywhere; they give it a weight of its own, 3, and take it about y_neg.
    """

    def __init__(
        self,
        guidance_scale: Scale = 1.0,
        negative_scale: Scale = 1.0,
        weighting: Weighting = "one_minus_abar",
        clip: GradientClip | None = None,
    ) -> None:
        self.guidance_scale, self.negative_scale = guidance_scale, negative_scale
        self.weighting, self.clip = weighting, clip

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        scale, lead = at(self.guidance_scale, given.rng.step), at(self.negative_scale, given.rng.step)
        condition, negative = given.condition, given.condition.negative()
        if scale == lead or not any(negative.texts):
            both = contrast(prior, given.x, given.sigma, given.condition, negative)
            direction = scale * both.direction
        else:
            both = contrast(
                prior, given.x, given.sigma, given.condition, condition.unconditional(), [negative] if lead else []
            )
            direction = scale * both.direction
            if lead:
                direction = direction + lead * (both.base - both.others[0])
        gradient = shaped(direction, given, self.weighting, self.clip)
        return Score(gradient, both.text, both.text - both.base, both.calls, direction)
