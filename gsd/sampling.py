"""Pictures that a prior draws by itself: the probability-flow ODE from pure noise, in sigma space."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.geometry import orbit
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.types import Condition

USUAL = 7.5  # guidance scale of pictures, for Stable Diffusion
ELEVATION, DISTANCE, FOV = 15.0, 2.2, 40.0  # of the camera that priors with views are told: a turntable's


def draw(
    prior: Prior,
    text: str,
    others: str,
    rng: Stream,
    device: torch.device | str = "cpu",
    resolution: int = 128,
    steps: int = 30,
    scale: float | None = None,
) -> Float[Tensor, "3 R R"]:
    """One picture of a text, as from a camera in front.

    A prior that sees a group of views at once draws all of them, equally spaced around the object, and the first is
    returned.

    Args:
        prior: any; of one that is conditioned on points, before it is given some.
        text: of the picture.
        others: the text of the other views of a group.
        rng: of the noise.
        device: of the prior.
        resolution: pixels, for a prior whose pictures have no size of their own.
        steps: calls of the prior, each of one picture, or of two with guidance.
        scale: of classifier-free guidance, diffusers' convention; None: what suits the prior, else 7.5.

    Returns:
        rgb in [0, 1].

    Example:
        >>> picture = draw(experiment.prior, "a corgi, front view", "a corgi", Stream(0, "picture"))
    """
    views = prior.views or 1
    ones = torch.ones(views)
    azimuth, together = torch.arange(views) * (360.0 / views), torch.zeros(views, dtype=torch.long)
    cameras = orbit(azimuth, ELEVATION * ones, DISTANCE * ones, FOV * ones, resolution, resolution, together).to(device)
    with torch.no_grad():
        shape = prior.encode(torch.full((views, 3, resolution, resolution), 0.5, device=device)).shape
    noise = torch.randn(shape, generator=rng.generator()).to(device)
    suits = USUAL if prior.guidance_scale is None else prior.guidance_scale
    condition = Condition((text, *(others,) * (views - 1)), cameras)
    z = sample(prior, noise, condition, levels(prior, steps), suits if scale is None else scale)
    return prior.decode(z)[0]


@torch.no_grad()
def sample(
    prior: Prior, noise: Float[Tensor, "V C h w"], condition: Condition, sigmas: Sequence[float], scale: float
) -> Float[Tensor, "V C h w"]:
    """Euler's method on dx / dsigma = (x - D(x; sigma)) / sigma, down to sigma = 0: DDIM (Song et al. 2021).

    Args:
        prior: any.
        noise: N(0, I), times sigmas[0] the start.
        condition: what the views are denoised towards, and their negative prompts.
        sigmas: noise levels, descending, > 0.
        scale: of classifier-free guidance; 1 asks for the text alone.

    Returns:
        Latents.
    """
    both, x = condition + condition.negative(), sigmas[0] * noise
    for sigma, following in pairwise([*sigmas, 0.0]):
        level = noise.new_full((len(noise),), sigma)
        if scale == 1:
            clean = prior.denoise(x, level, condition)
        else:
            clean, without = prior.denoise(x.repeat(2, 1, 1, 1), level.repeat(2), both).chunk(2)
            clean = without + scale * (clean - without)
        x = clean + following / sigma * (x - clean)
    return x


def levels(prior: Prior, steps: int) -> list[float]:
    """From the prior's highest noise level to its lowest, in equal steps of sigma / (1 + sigma): few of them are spent
    where there is nothing but noise or none left, for variance-preserving models, and for flows it is their own t."""
    lowest, highest = prior.noise_levels()
    t = torch.linspace(highest / (1 + highest), lowest / (1 + lowest), steps, dtype=torch.float64)
    return (t / (1 - t)).tolist()
