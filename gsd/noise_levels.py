"""The variance-preserving schedule of Stable Diffusion: training steps t and noise levels sigma.

gsd works in sigma space, x = z + sigma n. This schedule only decides which sigmas are drawn, for priors that have none
of their own (`Prior.log_sigmas`); a prior converts inside.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012  # "scaled_linear"


@cache
def vp_sigmas() -> Float[Tensor, " 1000"]:
    """sigma(t) = sqrt((1 - abar_t) / abar_t) for t = 0 ... 999: about 0.03 to 14.6."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - betas, 0)
    return ((1 - abar) / abar).sqrt().float()


def sigma_at(t: Float[Tensor, "*V"], log_sigmas: Float[Tensor, " T"] | None = None) -> Float[Tensor, "*V"]:
    """The noise level at step t in [0, T - 1], log-linear between whole steps.

    log_sigmas: those of a schedule other than `vp_sigmas`.
    """
    table = vp_sigmas().to(t).log() if log_sigmas is None else log_sigmas.to(t)
    t = t.clamp(0, len(table) - 1)
    below = t.floor().clamp(max=len(table) - 2).long()
    return torch.lerp(table[below], table[below + 1], t - below).exp()


def step_at(sigma: Float[Tensor, " V"], log_sigmas: Float[Tensor, " T"] | None = None) -> Float[Tensor, " V"]:
    """The step in [0, T - 1], whole or between two, with noise level sigma: the inverse of `sigma_at`.

    log_sigmas: those of a schedule other than `vp_sigmas`.
    """
    table = vp_sigmas().to(sigma).log() if log_sigmas is None else log_sigmas
    level = sigma.to(table).log()
    above = torch.searchsorted(table, level).clamp(1, len(table) - 1)
    low, high = table[above - 1], table[above]
    return above - 1 + ((level - low) / (high - low)).clamp(0, 1)
