"""Who sees what: the trials of each participant, from the study's seed and the participant's number alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gsd.tools.study.study import Side, Study, other

Kind = Literal["pair", "mirrored", "broken"]
SIDES: tuple[Side, Side] = ("a", "b")


@dataclass(frozen=True)
class Trial:
    """A mirrored one shows a pair a second time, its sides exchanged. Of a broken one, a is the whole scene."""

    kind: Kind
    scene: int  # index into study.broken, or else into study.pairs
    left: Side


def trials(study: Study, participant: int) -> list[Trial]:
    """In the order in which participant 0, 1, ... sees them.

    Pairs are dealt from one shuffled pack, so that each is shown as often as any other; as many trials have a on the
    left as on the right, give or take one. What is shown again was in the first half and comes back in the second.
    """
    rng = np.random.default_rng([study.seed, 3, participant])
    pack = np.random.default_rng([study.seed, 4]).permutation(len(study.pairs))
    dealt = pack[(participant * study.trials + np.arange(study.trials)) % len(pack)]
    real = [
        Trial("pair", int(scene), left)
        for scene, left in zip(rng.permutation(dealt), _sides(study.trials, rng), strict=True)
    ]
    half = (study.trials + 1) // 2
    first, second = real[:half], real[half:]
    for k in rng.permutation(max(half - 1, 0))[: study.mirrored]:  # of the first half less its last, the nearest one
        second.append(Trial("mirrored", first[k].scene, other(first[k].left)))
    order = first + [second[k] for k in rng.permutation(len(second))]
    for scene, left in zip(range(len(study.broken)), _sides(len(study.broken), rng), strict=True):
        order.insert(int(rng.integers(len(order) + 1)), Trial("broken", scene, left))
    return order


def _sides(count: int, rng: np.random.Generator) -> list[Side]:
    """Half of them a, half b; of an odd number, chance says which has one more."""
    first = rng.integers(2)
    return [SIDES[(first + k) % 2] for k in rng.permutation(count)]
