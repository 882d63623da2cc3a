"""Noise that changes slowly over the steps, without anything to checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.schedule import Schedule, at

Draw = Callable[[Int[Tensor, " K"], int], Float[Tensor, "K N C"]]  # the fresh values of some ids at a step


class Drift:
    """An Ornstein-Uhlenbeck process a value: n_0 = e_0, n_t = sqrt(1 - gamma_t) n_(t-1) + sqrt(gamma_t) e_t.

    Each n_t is N(0, 1), and with constant gamma corr(n_s, n_t) = (1 - gamma)^(|s - t| / 2). Every id has its process
    from step 0, whether or not the scene had such a point then; so the values at a step depend on the ids and the
    step alone. They are kept from one step to the next, and replayed where they are not there: after a resume, or for
    the points that densification has added.
    """

    def __init__(self, gamma: Schedule) -> None:
        self.gamma = gamma
        self._whose: object = None
        self._ids = torch.empty(0, dtype=torch.int64)
        self._step = 0
        self._values = torch.empty(0)

    def __call__(self, whose: object, ids: Int[Tensor, " K"], step: int, draw: Draw) -> Float[Tensor, "K N C"]:
        """The values of some ids at a step; `whose` names the processes, that is what makes `draw` another function."""
        if whose != self._whose or step < self._step:
            self._values, self._step = self._advance(ids, draw(ids, 0), 0, step, draw), step
        else:
            kept = self._values if torch.equal(ids, self._ids) else self._carried(ids, draw)
            self._values, self._step = self._advance(ids, kept, self._step, step, draw), step
        self._whose, self._ids = whose, ids
        return self._values

    def _carried(self, ids: Int[Tensor, " K"], draw: Draw) -> Float[Tensor, "K N C"]:
        """The values of the last step for other ids: those known are kept, the others replayed."""
        new = ids[~torch.isin(ids, self._ids)]
        replayed = self._advance(new, draw(new, 0), 0, self._step, draw)
        everyone, order = torch.cat([self._ids, new]).sort()
        return torch.cat([self._values, replayed])[order[torch.searchsorted(everyone, ids)]]

    def _advance(
        self, ids: Int[Tensor, " K"], values: Float[Tensor, "K N C"], start: int, end: int, draw: Draw
    ) -> Float[Tensor, "K N C"]:
        for step in range(start + 1, end + 1):
            gamma = at(self.gamma, step)
            values = (1 - gamma) ** 0.5 * values + gamma**0.5 * draw(ids, step)
        return values
