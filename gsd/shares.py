"""What part of the gradient on the geometry each term of the objective makes, and weights that aim at a part.

The share of a term is the norm of its gradient over that of the score's, on what holds the scene's geometry
(`Representation.shape_parameters`). It is not taken on the depth, on which the score has no gradient: the score reaches
the geometry through the colours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gsd.errors import GsdError
from gsd.protocols import Loss
from gsd.schedule import Share, at

EVERY = 25  # steps between measurements, each of which takes one more backward pass per term
KEPT = 0.5  # of the smoothed logarithm of a share, when a new one is measured
SCORE = "score"


class Shares:
    """The objective's terms, weighted.

    A weight of kind=share is value(step) over the term's share at weight 1, smoothed; until the first measurement
    that is not 0 the term has weight 0.
    """

    def __init__(self, losses: Mapping[str, Loss]) -> None:
        self.losses = losses
        self.smoothed: dict[str, float] = {}  # log of the share at weight 1, of the terms that aim

    def wants(self, name: str, step: int) -> bool:
        """Whether a term has any weight at a step, so that it has to be computed."""
        weight = self.losses[name].weight
        return at(weight.value if isinstance(weight, Share) else weight, step) != 0

    def __call__(
        self, terms: Mapping[str, Tensor], step: int, parameters: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Weigh the terms of a step.

        Args:
            terms: the score's and those of the losses at weight 1, scalars with graph.
            step: of the run.
            parameters: what holds the geometry; none: nothing is measured.

        Returns:
            The terms times their weights, and the shares, at the steps that measure them.

        Raises:
            GsdError: for a weight that aims at a share where there are no parameters to measure it on.
        """
        raw = {}
        if len(terms) > 1 and self._due(terms, step):
            raw = self._measure(terms, parameters)
        weights = {name: self._weight(name, step, parameters) for name in terms if name != SCORE}
        weighted = {name: term if name == SCORE else weights[name] * term for name, term in terms.items()}
        return weighted, {name: weights[name] * share for name, share in raw.items()}

    def _due(self, terms: Mapping[str, Tensor], step: int) -> bool:
        return step % EVERY == 0 or any(self._aims(name) and name not in self.smoothed for name in terms)

    def _aims(self, name: str) -> bool:
        return name in self.losses and isinstance(self.losses[name].weight, Share)

    def _measure(self, terms: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> dict[str, float]:
        """The shares at weight 1."""
        if not parameters:
            return {}
        norms = {name: _norm(term, parameters) for name, term in terms.items()}
        if norms[SCORE] == 0:
            return {}
        shares = {name: norm / norms[SCORE] for name, norm in norms.items() if name != SCORE}
        for name, share in shares.items():
            if self._aims(name) and share > 0:
                new = math.log(share)
                self.smoothed[name] = KEPT * self.smoothed.get(name, new) + (1 - KEPT) * new
        return shares

    def _weight(self, name: str, step: int, parameters: Sequence[Tensor]) -> float:
        weight = self.losses[name].weight
        if not isinstance(weight, Share):
            return at(weight, step)
        if not parameters:
            raise GsdError(
                f"loss.{name}.weight aims at a share of the gradient on the geometry, and this representation does not "
                f"say what holds it (shape_parameters); give a number: loss.{name}.weight=0.02."
            )
        return at(weight.value, step) / math.exp(self.smoothed[name]) if name in self.smoothed else 0.0

    def vitals(self) -> dict[str, Tensor]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"smoothed": dict(self.smoothed)}

    def restore(self, state: dict[str, Any]) -> None:
        self.smoothed = dict(state["smoothed"])


def _norm(term: Tensor, parameters: Sequence[Tensor]) -> float:
    if not term.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(g.double().square().sum()) for g in gradients if g is not None))
