"""The branches of classifier-free guidance, asked of the prior in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Prior
from gsd.types import Condition

LEAST_NORM = 1e-6  # squared, of the direction that is projected on
LEAST_STD = 1e-12  # of the values of a view


@dataclass(frozen=True)
class Guided:
    """The noise that guidance predicts."""

    eps: Float[Tensor, "V C h w"]
    delta: Float[Tensor, "V C h w"] | None  # eps_text - eps_negative, None when only the text was asked
    calls: int  # images the prior denoised


@dataclass(frozen=True)
class Contrast:
    """What a prior predicts for the text and for what to lead away from."""

    text: Float[Tensor, "V C h w"]
    base: Float[Tensor, "V C h w"]
    direction: Float[Tensor, "V C h w"]  # text - base, with Perp-Neg's part
    others: tuple[Float[Tensor, "V C h w"], ...]
    calls: int  # images the prior denoised


@torch.no_grad()
def guide(
    prior: Prior,
    x: Float[Tensor, "V C h w"],
    sigma: Float[Tensor, " V"],
    condition: Condition,
    scale: float,
    rescale: float = 0.0,
) -> Guided:
    """eps = eps_neg + scale (delta + sum_k w_k perp(delta_k, delta)), with delta = eps_text - eps_neg.

    eps_neg is the prediction for the negative prompt, which is "" unless `prompting` says otherwise; delta_k is what
    `condition.against[k]` says beyond it, and perp(a, b) = a - <a, b> / <b, b> b its part at right angles to delta
    (Perp-Neg, Armandpour et al. 2023). Scale 1 without Perp-Neg asks for the text alone. `rescale`: see `rescaled`.
    """
    if scale == 1 and not condition.against:
        return Guided(predict(prior, x, sigma, [condition])[0], None, len(x))
    both = contrast(prior, x, sigma, condition, condition.negative())
    eps = both.base + scale * both.direction
    return Guided(rescaled(eps, both.text, rescale) if rescale else eps, both.text - both.base, both.calls)


@torch.no_grad()
def contrast(
    prior: Prior,
    x: Float[Tensor, "V C h w"],
    sigma: Float[Tensor, " V"],
    condition: Condition,
    base: Condition,
    others: Sequence[Condition] = (),
) -> Contrast:
    """The text against `base`, and further predictions on the way; direction as in `guide`."""
    away = [Condition(texts, condition.cameras) for texts in condition.against]
    text, low, *rest = predict(prior, x, sigma, [condition, base, *away, *others])
    delta = direction = text - low
    for k, other in enumerate(rest[: len(away)]):
        assert condition.against_weights is not None
        weight = condition.against_weights[k].to(delta)[:, None, None, None]
        direction = direction + weight * perpendicular(other - low, delta)
    return Contrast(text, low, direction, tuple(rest[len(away) :]), len(x) * (2 + len(rest)))


@torch.no_grad()
def predict(
    prior: Prior, x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"], conditions: list[Condition]
) -> tuple[Float[Tensor, "V C h w"], ...]:
    """eps = (x - D) / sigma under every condition, all in one call of the prior."""
    both = conditions[0]
    for other in conditions[1:]:
        both = both + other
    copies = len(conditions)
    many, levels = x.repeat(copies, 1, 1, 1), sigma.repeat(copies)
    eps = (many - prior.denoise(many, levels, both)) / levels[:, None, None, None]
    return eps.chunk(copies)


def perpendicular(a: Float[Tensor, "V C h w"], b: Float[Tensor, "V C h w"]) -> Float[Tensor, "V C h w"]:
    """Each view's part of a at right angles to b."""
    along = (a * b).sum((1, 2, 3), keepdim=True) / b.square().sum((1, 2, 3), keepdim=True).clamp(min=LEAST_NORM)
    return a - along * b


def rescaled(eps: Float[Tensor, "V C h w"], text: Float[Tensor, "V C h w"], share: float) -> Float[Tensor, "V C h w"]:
    """share std(text) / std(eps) eps + (1 - share) eps: guided noise with the spread of what the text alone predicts.

    Lin et al. 2023, section 3.4, against the saturation of large scales; diffusers' guidance_rescale. std is over the
    values of a view.
    """
    ratio = text.std((1, 2, 3), keepdim=True) / eps.std((1, 2, 3), keepdim=True).clamp(min=LEAST_STD)
    return (1 - share + share * ratio) * eps
