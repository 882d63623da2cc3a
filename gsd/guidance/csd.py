"""Classifier score distillation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gsd.guidance.parts.branches import Projection, View, contrast
from gsd.guidance.parts.shaping import GradientClip, Weighting, shaped
from gsd.protocols import Guidance, Prior
from gsd.schedule import Scale, at
from gsd.types import Noised, Score


@dataclass
class CSD(Guidance):
    """gradient = w(sigma) (a (e(x, y) - e(x, "")) + b (e(x, "") - e(x, y_neg))) (Yu et al. 2023).

    e is the noise predicted at x = z + sigma n, a = `guidance_scale`, b = `negative_scale`. The first difference is the
    gradient of an implicit classifier log p(y | x); nothing pulls towards p(x). Without a negative prompt the second
    difference is 0 and the prior is asked for two branches; with one it is asked for two only if a = b. View guidance
    adds view_scale (e(x, y) - e(x, y_opposite)), see `gsd.guidance.parts.branches.guide`.

    Differences from the source:
    - The authors use a = 1; b rises from 0 to 1 over the first half of the coarse stage and falls from 1 to 0.5 over
      the refinement. Their coarse stage uses DeepFloyd IF, uniform w and gradients of norm 1.
    - Perp-Neg adds to the first difference, as in the other guidances; they give it its own weight, 3, relative to
      y_neg.
    """

    guidance_scale: Scale = 1.0  # a
    negative_scale: Scale = 1.0  # b
    weighting: Weighting = "one_minus_abar"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        step = given.rng.step
        scale, lead = at(self.guidance_scale, step), at(self.negative_scale, step)
        view = View(at(self.view_scale, step), self.view_projection)
        condition, negative = given.condition, given.condition.negative()
        if scale == lead or not any(negative.texts):
            both = contrast(prior, given.x, given.sigma, condition, negative, view=view)
            direction = scale * both.direction
        else:
            others = [negative] if lead else []
            base = condition.unconditional()
            both = contrast(prior, given.x, given.sigma, condition, base, others, view)
            direction = scale * both.direction
            if lead:
                direction = direction + lead * (both.base - both.others[0])
        direction = both.lead(direction, view)
        gradient = shaped(direction, given, self.weighting, self.clip)
        return Score(gradient, both.text, both.text - both.base, both.calls, direction, both.view)
