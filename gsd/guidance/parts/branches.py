"""Classifier-free guidance and view guidance: text, negative prompt, Perp-Neg's further prompts and the opposite view's
text in one batch of the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Prior
from gsd.types import Condition

RescaleOf = Literal["noise", "latents"]
Projection = Literal["none", "opposed", "all"]
LEAST_NORM = 1e-6  # squared, of the direction that is projected on
LEAST_STD = 1e-12  # of the values of a view


class View(NamedTuple):
    """View guidance at a step."""

    scale: float = 0.0  # 0 asks for no branch of the opposite view, and nothing is projected
    projection: Projection = "none"  # see `without_view`


NO_VIEW = View()


@dataclass(frozen=True)
class Guided:
    """The guided prediction of the noise."""

    eps: Float[Tensor, "V C h w"]
    delta: Float[Tensor, "V C h w"] | None  # eps_text - eps_negative, None when only the text was asked
    calls: int  # images the prior denoised
    view: Float[Tensor, "V C h w"] | None = None  # eps_text - eps_opposite, None without view guidance


@dataclass(frozen=True)
class Contrast:
    """Noise predicted for the text and for the branches that it is compared with."""

    text: Float[Tensor, "V C h w"]
    base: Float[Tensor, "V C h w"]
    direction: Float[Tensor, "V C h w"]  # text - base, plus Perp-Neg's term, less what is projected out
    others: tuple[Float[Tensor, "V C h w"], ...]  # for the further conditions, in their order
    calls: int  # images the prior denoised
    view: Float[Tensor, "V C h w"] | None  # text - opposite view's text, None without view guidance

    def lead(self, direction: Float[Tensor, "V C h w"], view: View) -> Float[Tensor, "V C h w"]:
        """A direction with view guidance, as in `guide`."""
        return direction if self.view is None else direction + view.scale * self.view


@torch.no_grad()
def guide(
    prior: Prior,
    x: Float[Tensor, "V C h w"],
    sigma: Float[Tensor, " V"],
    condition: Condition,
    scale: float,
    rescale: float = 0.0,
    rescale_of: RescaleOf = "noise",
    view: View = NO_VIEW,
) -> Guided:
    """Predict the noise with classifier-free guidance, negative prompts, Perp-Neg and view guidance.

    eps = eps_neg + scale (delta + sum_k w_k perp(delta_k, delta)) + view.scale (eps_text - eps_opposite)

    with delta = eps_text - eps_neg. eps_neg is the prediction for the negative prompt ("" unless `prompting` sets one),
    delta_k that for `condition.against[k]` minus eps_neg, and perp(a, b) = a - <a, b> / <b, b> b the part of a at right
    angles to b (Perp-Neg, Armandpour et al. 2023). eps_opposite is the prediction for the text that the prompting has
    for the other side of the object (`condition.opposite`): what both views share, such as a face that the prior
    expects everywhere, cancels in the difference.

    View guidance is from no paper that we know of. Perp-Neg leads away from neighbouring views, at right angles to the
    text; ConsDreamer (arXiv 2504.02316) removes what the views share from the embeddings of the texts.

    With `view.projection`, what `scale` multiplies loses its part along eps_text - eps_opposite: `without_view`.

    Args:
        prior: denoises all branches in one batch.
        x: noised latents, z + sigma n.
        sigma: noise level per view.
        condition: what the views are denoised towards.
        scale: in the convention of diffusers. Scale 1 without Perp-Neg asks for the text branch alone.
        rescale: weight in [0, 1] of `rescaled`, which comes last.
        rescale_of: "noise" rescales eps per view; "latents" rescales D = x - sigma eps over all views of a group, as
            MVDream does.
        view: view guidance. A projection needs the negative prompt's branch also at scale 1.

    Returns:
        The guided noise, eps_text - eps_neg, eps_text - eps_opposite, and the number of images denoised.
    """
    delta: Tensor | None = None
    towards: Tensor | None = None
    if scale == 1 and not condition.against and (not view.scale or view.projection == "none"):
        if not view.scale:
            return Guided(predict(prior, x, sigma, [condition])[0], None, len(x))
        both = contrast(prior, x, sigma, condition, condition.opposite_view())
        eps, towards = both.text + view.scale * both.direction, both.direction
    else:
        both = contrast(prior, x, sigma, condition, condition.negative(), view=view)
        eps = both.lead(both.base + scale * both.direction, view)
        delta, towards = both.text - both.base, both.view
    if rescale and rescale_of == "noise":
        eps = rescaled(eps, both.text, rescale)
    elif rescale:
        level, sizes = sigma[:, None, None, None], _sizes(condition)
        eps = (x - rescaled(x - level * eps, x - level * both.text, rescale, sizes)) / level
    return Guided(eps, delta, both.calls, towards)


@torch.no_grad()
def contrast(
    prior: Prior,
    x: Float[Tensor, "V C h w"],
    sigma: Float[Tensor, " V"],
    condition: Condition,
    base: Condition,
    others: Sequence[Condition] = (),
    view: View = NO_VIEW,
) -> Contrast:
    """Predict the noise for the text, for `base` and for further conditions in one batch of the prior.

    Args:
        prior: denoises all branches in one batch.
        x: noised latents, z + sigma n.
        sigma: noise level per view.
        condition: the text, and Perp-Neg's prompts in `against`.
        base: what the text is compared with, such as the empty text or the negative prompt.
        others: further conditions to predict for.
        view: view guidance.

    Returns:
        The predictions; `direction` is text - base plus Perp-Neg's term, as in `guide`, after the projection.
    """
    away = [condition.with_texts(texts) for texts in condition.against]
    opposite = [condition.opposite_view()] if view.scale else []
    text, low, *rest = predict(prior, x, sigma, [condition, base, *away, *others, *opposite])
    delta = direction = text - low
    for k, other in enumerate(rest[: len(away)]):
        assert condition.against_weights is not None
        weight = condition.against_weights[k].to(delta)[:, None, None, None]
        direction = direction + weight * perpendicular(other - low, delta)
    calls, towards = len(x) * (2 + len(rest)), text - rest.pop() if opposite else None
    if towards is not None:
        direction = without_view(direction, towards, view.projection)
    return Contrast(text, low, direction, tuple(rest[len(away) :]), calls, towards)


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


def without_view(
    direction: Float[Tensor, "V C h w"], view: Float[Tensor, "V C h w"], projection: Projection
) -> Float[Tensor, "V C h w"]:
    """Take from a direction of guidance its part along `view`, the direction of view guidance, in each view.

        none     nothing
        opposed  the part that points against `view`, where the inner product is negative
        all      all of it: what is left says nothing of the view, in either sense

    Why: guidance by the text multiplies a prior's view bias with its view words. In log-weights of the azimuth a, with
    the bias b cos a and the words w h(a), guidance scale g and view guidance s ask for

        g b cos a + (g + 2 s) w h(a),      h = -cos a behind, and sin a for a camera at the object's left.

    From behind the text's own part is g (b - w) cos a, and where b > w it points against the words: the back wins only
    for s > g (b / w - 1) / 2. Without that part 2 s w h(a) is left, and any s > 0 does. From the side b cos a is at
    right angles to sin a, so that no projection on this axis removes the bias: the pose stays off by about
    atan(g b / ((g + 2 s) w)), or atan(g b / (2 s w)) with "all", which takes g w h(a) away too. All this is of
    log-weights. The inner product is that of predicted noises at one x, which follow the log-weights linearly only at
    high noise and far from saturation.
    """
    if projection == "none":
        return direction
    along = (direction * view).sum((1, 2, 3), keepdim=True)
    if projection == "opposed":
        along = along.clamp(max=0)
    return direction - along / view.square().sum((1, 2, 3), keepdim=True).clamp(min=LEAST_NORM) * view


def rescaled(
    values: Float[Tensor, "V C h w"], text: Float[Tensor, "V C h w"], weight: float, sizes: Sequence[int] | None = None
) -> Float[Tensor, "V C h w"]:
    """weight std(text) / std(values) values + (1 - weight) values: guided noise with the spread of the text branch.

    Lin et al. 2023, section 3.4, against the saturation of large scales; diffusers' guidance_rescale. std is over the
    values of one view, or with `sizes` over that many consecutive views.
    """
    ratio = _spread(text, sizes) / _spread(values, sizes).clamp(min=LEAST_STD)
    return (1 - weight + weight * ratio) * values


def _spread(values: Float[Tensor, "V C h w"], sizes: Sequence[int] | None) -> Float[Tensor, "V 1 1 1"]:
    if sizes is None:
        return values.std((1, 2, 3), keepdim=True)
    return torch.cat([part.std().expand(len(part), 1, 1, 1) for part in values.split(list(sizes))])


def _sizes(condition: Condition) -> list[int] | None:
    """The number of views of each group; None without cameras."""
    if condition.cameras is None:
        return None
    return condition.cameras.on_cpu.group.unique_consecutive(return_counts=True)[1].tolist()
