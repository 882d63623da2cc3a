"""The branches of classifier-free guidance, asked of the prior in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Prior
from gsd.types import Condition

RescaleOf = Literal["noise", "latents"]
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
    rescale_of: RescaleOf = "noise",
) -> Guided:
    """eps = eps_neg + scale (delta + sum_k w_k perp(delta_k, delta)), with delta = eps_text - eps_neg.

    eps_neg is the prediction for the negative prompt, which is "" unless `prompting` says otherwise; delta_k is what
    `condition.against[k]` says beyond it, and perp(a, b) = a - <a, b> / <b, b> b its part at right angles to delta
    (Perp-Neg, Armandpour et al. 2023). Scale 1 without Perp-Neg asks for the text alone. `rescale`: see `rescaled`;
    rescale_of="latents" applies it to D = x - sigma eps and to all views of a group together, as MVDream does.
    """
    if scale == 1 and not condition.against:
        return Guided(predict(prior, x, sigma, [condition])[0], None, len(x))
    both = contrast(prior, x, sigma, condition, condition.negative())
    eps = both.base + scale * both.direction
    if rescale and rescale_of == "noise":
        eps = rescaled(eps, both.text, rescale)
    elif rescale:
        level, sizes = sigma[:, None, None, None], _sizes(condition)
        eps = (x - rescaled(x - level * eps, x - level * both.text, rescale, sizes)) / level
    return Guided(eps, both.text - both.base, both.calls)


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


def rescaled(
    values: Float[Tensor, "V C h w"], text: Float[Tensor, "V C h w"], share: float, sizes: Sequence[int] | None = None
) -> Float[Tensor, "V C h w"]:
    """share std(text) / std(values) values + (1 - share) values: guided noise with the spread of what the text alone
    predicts.

    Lin et al. 2023, section 3.4, against the saturation of large scales; diffusers' guidance_rescale. std is over the
    values of a view, or, with `sizes`, of that many views after each other.
    """
    ratio = _spread(text, sizes) / _spread(values, sizes).clamp(min=LEAST_STD)
    return (1 - share + share * ratio) * values


def _spread(values: Float[Tensor, "V C h w"], sizes: Sequence[int] | None) -> Float[Tensor, "V 1 1 1"]:
    if sizes is None:
        return values.std((1, 2, 3), keepdim=True)
    return torch.cat([part.std().expand(len(part), 1, 1, 1) for part in values.split(list(sizes))])


def _sizes(condition: Condition) -> list[int] | None:
    """How many views every group has; None where that is not known."""
    if condition.cameras is None:
        return None
    return condition.cameras.group.unique_consecutive(return_counts=True)[1].tolist()
