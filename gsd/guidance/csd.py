"""Classifier score distillation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.guidance.parts.branches import contrast
from gsd.guidance.parts.shaping import Clip, Scale, Weighting, shaped
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.schedule import at
from gsd.types import Condition, Score


class CSD:
    """gradient = w(sigma) (a (e(x, y) - e(x, "")) + b (e(x, "") - e(x, y_neg))) (Yu et al. 2023).

    e is the noise predicted at x = z + sigma n, a = `guidance_scale`, b = `negative_scale`. The first difference is the
    gradient of an implicit classifier log p(y | x); nothing pulls towards p(x). Without a negative prompt the second is
    0 and two branches are asked, also with one when a = b. w and clip: `gsd.guidance.parts.shaping`.

    The authors have a = 1; b goes from 0 to 1 over the first half of their coarse stage and from 1 to 0.5 over the
    refinement. That coarse stage has DeepFloyd IF, uniform w and gradients of norm 1. Perp-Neg adds to the first
    difference as everywhere; they give it a weight of its own, 3, and take it about y_neg.
    """

    draws_own_noise = False

    def __init__(
        self,
        guidance_scale: Scale = 1.0,
        negative_scale: Scale = 1.0,
        weighting: Weighting = "one_minus_abar",
        clip: Clip | None = None,
    ) -> None:
        self.guidance_scale, self.negative_scale = guidance_scale, negative_scale
        self.weighting, self.clip = weighting, clip

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
        scale, lead = at(self.guidance_scale, rng.step), at(self.negative_scale, rng.step)
        negative = condition.negative()
        if scale == lead or not any(negative.texts):
            both = contrast(prior, x, sigma, condition, negative)
            direction = scale * both.direction
        else:
            both = contrast(prior, x, sigma, condition, condition.unconditional(), [negative] if lead else [])
            direction = scale * both.direction
            if lead:
                direction = direction + lead * (both.base - both.others[0])
        gradient = shaped(direction, sigma, self.weighting, self.clip, rng.step)
        return Score(gradient, both.text, both.text - both.base, both.calls, direction)
