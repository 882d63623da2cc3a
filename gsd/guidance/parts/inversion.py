"""Noising by the probability-flow ODE instead of at random: DDIM inversion in sigma space.

DDIM's step (Song et al. 2021, eq. 13) between noise levels is x' / alpha' = x / alpha + (sigma' - sigma) eps with
sigma = s / alpha, so in the coordinates x = z + sigma n of gsd it is Euler's step x' = x + (sigma' - sigma) eps, up or
down. The sources count in steps t of Stable Diffusion's schedule; `gsd.noise_levels` translates.

A network predicts noise of about unit size whatever it sees. An exact prior such as the menagerie's does not: at the
lowest level its prediction is the distance to the nearest picture over sigma 0.03, 25 times too large for the grey ball
that runs start from. What is inverted there points from picture to picture and drowns the text, so that every view gets
the same one: on the menagerie ism and sdi make no animal, with the authors' scales or with 1.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

Level = Float[Tensor, " V"]


def grid(end: Level, spacing: float) -> list[Level]:
    """Steps 0, spacing, 2 spacing ... that end at `end`, each view's own; those that are there wait for the others."""
    count = -int(-float(end.max()) // spacing)
    return [torch.minimum(torch.full_like(end, k * spacing), end) for k in range(count)] + [end]


@torch.no_grad()
def follow(
    x: Float[Tensor, "V C h w"],
    sigmas: list[Level],
    eps: Callable[[Float[Tensor, "V C h w"], Level], Float[Tensor, "V C h w"]],
    kick: Callable[[Level, Level], Float[Tensor, "V C h w"]] | None = None,
) -> Float[Tensor, "V C h w"]:
    """x at sigmas[0] carried to sigmas[-1] along dx / dsigma = eps(x, sigma); kick(from, to) is added to each step."""
    for now, then in pairwise(sigmas):
        x = x + (then - now)[:, None, None, None] * eps(x, now)
        if kick is not None:
            x = x + kick(now, then)
    return x
