"""Noise that changes slowly over the steps, without state between them."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor

from gsd.schedule import Schedule, at

Draw = Callable[[Int[Tensor, " K"], int], Float[Tensor, "K N C"]]  # (ids, t) -> the independent values e_t


class Drift:
    """One Ornstein-Uhlenbeck process per value: n_t = sqrt(1 - gamma_t) n_(t-1) + sqrt(gamma_t) fresh, n_0 = e_0.

    Each n_t is N(0, 1), and corr(n_s, n_t) is the product of sqrt(1 - gamma) over the steps between. The process is not
    computed in the order of time: first n_1, n_2, n_4, n_8 ..., each from the one before, then by bisection the steps
    between two known ones, as bridges with the fresh e_t. The process is Markov, so its distribution is the same.
    A value costs 2 log2(step) draws and depends on id and step alone: resumed runs and new points need no history.
    """

    def __init__(self, gamma: Schedule) -> None:
        self.gamma = gamma
        self._times = [0.0]  # of the first steps, on the clock of _between, for a gamma that changes

    def __call__(self, ids: Int[Tensor, " K"], step: int, draw: Draw) -> Float[Tensor, "K N C"]:
        """The values n_step of the ids."""
        before, after = 0, 1
        n_before = draw(ids, 0)
        if step == 0:
            return n_before
        n_after = _forward(n_before, draw(ids, 1), self._between(0, 1))
        while after < step:
            before, after, n_before = after, 2 * after, n_after
            n_after = _forward(n_before, draw(ids, after), self._between(before, after))
        while after != step:
            middle = (before + after) // 2
            since, until = self._between(before, middle), self._between(middle, after)
            n = _bridge(n_before, n_after, draw(ids, middle), since, until)
            if middle < step:
                before, n_before = middle, n
            else:
                after, n_after = middle, n
        return n_after

    def _between(self, start: int, end: int) -> float:
        """Time between two steps on a clock in which the correlation falls by the factor e per unit."""
        if isinstance(self.gamma, int | float):
            return (end - start) * _time(self.gamma)
        while len(self._times) <= end:
            self._times.append(self._times[-1] + _time(at(self.gamma, len(self._times))))
        return self._times[end] - self._times[start]


def _time(gamma: float) -> float:
    """-ln sqrt(1 - gamma), at most 20 (a correlation of 2e-9)."""
    return min(-0.5 * math.log1p(-gamma), 20.0) if gamma < 1 else 20.0


def _forward(n: Float[Tensor, "K N C"], e: Float[Tensor, "K N C"], time: float) -> Float[Tensor, "K N C"]:
    return math.exp(-time) * n + math.sqrt(-math.expm1(-2 * time)) * e


def _bridge(
    a: Float[Tensor, "K N C"], b: Float[Tensor, "K N C"], e: Float[Tensor, "K N C"], since: float, until: float
) -> Float[Tensor, "K N C"]:
    """A draw of the process between its values a, `since` earlier, and b, `until` later."""
    p, q, r = (-math.expm1(-2 * time) for time in (since, until, since + until))  # 1 - correlation^2
    if r == 0:  # gamma = 0: nothing changes
        return a
    return (math.exp(-since) * q * a + math.exp(-until) * p * b) / r + math.sqrt(p * q / r) * e
