"""Noising by the probability-flow ODE instead of at random: DDIM inversion in sigma space.

DDIM's step (Song et al. 2021, eq. 13) between noise levels is x' / alpha' = x / alpha + (sigma' - sigma) eps with
sigma = s / alpha, so in the coordinates x = z + sigma n of gsd it is Euler's step x' = x + (sigma' - sigma) eps, up or
down. The sources count in steps t of Stable Diffusion's schedule; `gsd.noise_levels` translates.

Limitation: on the menagerie, ism and sdi make no animal, neither with the authors' scales nor with 1. A network
predicts noise of about unit size for any input; the exact prior predicts the distance to the nearest image divided by
sigma, at the lowest level 25 times too large for the grey ball that runs start from. The inversion then points from
image to image and drowns the text.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

Level = Float[Tensor, " V"]


def grid(end: Level, spacing: float) -> list[Level]:
    """Steps 0, spacing, 2 spacing ... up to each view's own `end`; a view that has reached it repeats it."""
    count = -int(-float(end.max()) // spacing)
    return [torch.minimum(torch.full_like(end, k * spacing), end) for k in range(count)] + [end]


@torch.no_grad()
def follow(
    x: Float[Tensor, "V C h w"],
    sigmas: list[Level],
    eps: Callable[[Float[Tensor, "V C h w"], Level], Float[Tensor, "V C h w"]],
    noise: Callable[[Level, Level], Float[Tensor, "V C h w"]] | None = None,
) -> Float[Tensor, "V C h w"]:
    """Integrate dx / dsigma = eps(x, sigma) from sigmas[0] to sigmas[-1]; noise(from, to) is added in each step."""
    for now, then in pairwise(sigmas):
        x = x + (then - now)[:, None, None, None] * eps(x, now)
        if noise is not None:
            x = x + noise(now, then)
    return x
