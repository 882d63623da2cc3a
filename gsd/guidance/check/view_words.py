"""Which view a prior hears in a prompt's view words, as its own predictions of the noise say.

View words bind where the pictures that a prior makes of them are explained best by them. The pictures are drawn with
the probability-flow ODE from pure noise. A diffusion classifier names their views: p(view | z) is the softmax over the
views of log p(z | text of the view). With noise added along a path z = x_0, x_1, ..., x_K of rising levels sigma_k,

    log p(z | y) = log p(x_K | y) + sum_k log p(x_{k-1} | x_k, y) + const

where const does not depend on the text y. For small steps x_{k-1} is normal around x_k + (sigma_{k-1}^2 - sigma_k^2)
eps(x_k, y) / sigma_k, and at the largest level x_K is nearly normal around its denoised picture. The classifiers of Li
et al. 2023 and Clark and Jaini 2023 add the errors of eps at independent noise; in expectation that is the same sum,
but along one path the noise cancels between texts, so that one or two paths are enough.

Limitation: the views are the texts' own. If a prior paints a front for "back view" too, the classifier does not say so
by an angle; it says that front and back explain the picture alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import orbit
from gsd.guidance.parts.branches import predict
from gsd.noise_levels import sigma_at
from gsd.protocols import Prior, Prompting
from gsd.random import Stream
from gsd.sampling import USUAL, sample
from gsd.types import Condition

VIEWS = {"front": (0.0, 15.0), "side": (90.0, 15.0), "back": (180.0, 15.0)}  # azimuth, elevation in degrees
OVERHEAD = (0.0, 89.0)
SAMPLING_STEPS = 24
LEVELS, LOWEST = 64, 20  # of the classifier: how many, and the training step of the lowest
SHOWN = (999, 800, 600, 400, 200)  # training steps at which differences are reported
BINDS = 0.5  # least share of pictures that are heard as asked
GUESSED = 0.4  # largest mean share of pictures heard as asked that words have which say nothing; a third is chance
MARGIN = 0.05  # by which a view is heard more than the one that was asked for
LEAST_RMS = 1e-6  # of a difference of predictions


@dataclass(frozen=True)
class Hearing:
    """What became of the pictures that were asked for."""

    asked: tuple[str, ...]  # the views, "overhead" and "" (the prompt alone)
    shares: Float[Tensor, "asked views"]  # p(view | picture), mean over pictures
    steps: tuple[int, ...]  # training steps, from pure noise down
    differences: Float[Tensor, " steps"]  # |eps_front - eps_back| / |eps_prompt - eps_empty| around its pictures

    def verdict(self) -> str:
        """One sentence: do the words bind?"""
        views = list(VIEWS)
        right = {view: float(self.shares[k, k]) for k, view in enumerate(views)}
        said = ", ".join(f"{view} {100 * share:.0f} %" for view, share in right.items())
        if min(right.values()) >= BINDS:
            return f"The view words bind: pictures are heard as the view that was asked for ({said})."
        if sum(right.values()) / len(right) <= GUESSED:
            return (
                f"The view words say next to nothing: pictures are heard as asked no more than by chance ({said}). "
                "View guidance has nothing to strengthen; try other words for the view."
            )
        weak = min(right, key=lambda view: right[view])
        heard = views[int(self.shares[views.index(weak)].argmax())]
        instead = "with little certainty"
        if self.shares[views.index(weak), views.index(heard)] > right[weak] + MARGIN:
            instead = f"rather as {heard}"
        return (
            f'The view words bind weakly: pictures asked for as "{weak} view" are heard {instead} ({said}); use '
            "guidance.view_scale, or other words for the view."
        )


def hearing(
    prior: Prior,
    prompting: Prompting,
    prompt: str,
    shape: Sequence[int],
    rng: Stream,
    pictures: int = 4,
    paths: int = 1,
    device: torch.device | str = "cpu",
) -> Hearing:
    """Make pictures under every view's text and the prompt alone, and classify them.

    Args:
        prior: of text alone; one that is given cameras or points would not need the words.
        prompting: the texts of the views are its own.
        prompt: without view words.
        shape: of the latents of one view, C h w.
        rng: of the noise.
        pictures: per text.
        paths: of the classifier per picture.
        device: of the prior.
    """
    *views, overhead = views_of(prompting)
    scale = USUAL if prior.guidance_scale is None else prior.guidance_scale
    alone = Condition((prompt,))
    sampling = _levels(prior, SAMPLING_STEPS, 0).tolist()
    drawn, shares = [], []
    for number, condition in enumerate([*views, overhead, alone]):
        noise = torch.randn(pictures, *shape, generator=rng.sub(f"picture {number}").generator()).to(device)
        drawn.append(sample(prior, noise, _repeated(condition, pictures), sampling, scale))
        likelihoods = log_likelihoods(prior, drawn[-1], views, rng.sub(f"classify {number}"), paths)
        shares.append(likelihoods.softmax(1).mean(0))
    z, sigmas = drawn[-1], sigma_at(torch.tensor(SHOWN, dtype=torch.float32), prior.log_sigmas())
    noise = torch.randn(z.shape, generator=rng.sub("difference").generator()).to(z)
    asked = [views[0], views[2], alone, alone.unconditional()]
    differences = torch.stack([_difference(prior, z + sigma * noise, sigma, asked) for sigma in sigmas])
    return Hearing((*VIEWS, "overhead", ""), torch.stack(shares).cpu(), SHOWN, differences.cpu())


def calls(pictures: int, paths: int) -> int:
    """Predictions of a single picture that `hearing` asks the prior for, with guidance by the text."""
    texts, asked = len(VIEWS) + 2, 4  # with overhead and the prompt alone; of a difference
    sampled, classified = 2 * SAMPLING_STEPS, paths * len(VIEWS) * (LEVELS - 1)
    return pictures * (texts * (sampled + classified) + asked * len(SHOWN))


@torch.no_grad()
def log_likelihoods(
    prior: Prior, z: Float[Tensor, "V C h w"], conditions: Sequence[Condition], rng: Stream, paths: int
) -> Float[Tensor, "V texts"]:
    """log p(z | text) up to a constant of each picture, for every text, along the same paths."""
    sigmas, generator = _levels(prior, LEVELS, LOWEST), rng.generator()
    asked, total = [_repeated(c, len(z)) for c in conditions], z.new_zeros(len(z), len(conditions)).double()

    def drawn() -> Float[Tensor, "V C h w"]:
        return torch.randn(z.shape, generator=generator).to(z)

    for _ in range(paths):
        x = z + sigmas[-1] * drawn()
        for low, high in pairwise(sigmas.flip(0).tolist()):
            before, added = x, high**2 - low**2
            x = before + added**0.5 * drawn()
            for k, eps in enumerate(predict(prior, x, z.new_full((len(z),), high), asked)):
                mean = x - added / high * eps
                total[:, k] -= _energy(before - mean, low**2 * added / high**2) / paths
                if high == float(sigmas[0]):
                    total[:, k] -= _energy(high * eps, high**2) / paths
    return total


def _energy(x: Float[Tensor, "V C h w"], variance: float) -> Float[Tensor, " V"]:
    return x.double().square().sum((1, 2, 3)) / (2 * variance)


def views_of(prompting: Prompting) -> list[Condition]:
    """What the prompting says to cameras at VIEWS and from overhead. Raises GsdError where it has no view words."""
    azimuth, elevation = torch.tensor([*VIEWS.values(), OVERHEAD]).T
    ones = torch.ones_like(azimuth)
    told = prompting(orbit(azimuth, elevation, 2.2 * ones, 40.0 * ones, 8, 8))
    if told.opposite is None:
        raise GsdError(
            f"prompting {type(prompting).__name__} has no view words to ask about; set prompting=interpolated, "
            "view_dependent or perp_neg."
        )
    if told.others is None or told.blend is None:
        return [Condition((text,)) for text in told.texts]
    return [
        Condition((text,), others=(other,), blend=blend[None])
        for text, other, blend in zip(told.texts, told.others, told.blend, strict=True)
    ]


def _repeated(condition: Condition, count: int) -> Condition:
    if condition.others is None or condition.blend is None:
        return Condition(condition.texts * count)
    return Condition(condition.texts * count, others=condition.others * count, blend=condition.blend.repeat(count))


def _levels(prior: Prior, count: int, lowest: int) -> Float[Tensor, " levels"]:
    """Noise levels at equal ratios, from the largest to that of a training step."""
    table = prior.log_sigmas()
    return torch.linspace(float(table[-1]), float(table[lowest]), count).exp()


def _difference(
    prior: Prior, x: Float[Tensor, "V C h w"], sigma: Float[Tensor, ""], conditions: Sequence[Condition]
) -> Float[Tensor, ""]:
    """|eps_1 - eps_2| / |eps_3 - eps_4| of four texts."""
    asked = [_repeated(condition, len(x)) for condition in conditions]
    one, two, text, empty = predict(prior, x, sigma.to(x).expand(len(x)), asked)
    return (one - two).norm() / (text - empty).norm().clamp(min=LEAST_RMS * x.numel() ** 0.5)
