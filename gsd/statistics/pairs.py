"""Differences of pairs, such as runs of two methods with the same animal and seed. The unit is the animal."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from gsd.statistics.estimates import LEVEL, Estimate, half_width, units

EXACT = 40  # differences of which all signs are tried


@dataclass(frozen=True)
class Difference:
    mean: Estimate  # over clusters; its count is that of pairs
    p: float  # of no difference, by flipping the signs of the clusters' means


def paired(
    differences: Sequence[float], clusters: Sequence[Hashable], yes_no: bool = False, level: float = LEVEL
) -> Difference:
    """The mean over clusters of each one's mean difference; with a single cluster, each pair is independent.

    The interval is Student's over these means, and covers as `estimates.mean` does. yes_no: outcomes are 0 or 1, so
    that few pairs may differ or none, which does not show that none ever will. Then its sum of squares has one more
    pair that differs in either direction, as Bonett and Price (2012) add to pairs without clusters. In simulations with
    6 to 20 clusters of 5 pairs it covers 95 % or more of differences that most clusters share, and up to 100 % where
    few pairs differ; if one cluster in five has all of the effect it covers 83-94 % up to 12 clusters and 89-96 % with
    20, since a sample may well have none of these.
    """
    unit = units(clusters)
    sizes = np.bincount(unit)
    means = np.bincount(unit, differences) / sizes
    value, count = float(means.mean()), len(means)
    squares = float(((means - value) ** 2).sum())
    if yes_no:
        squares += 2 * float((1 / sizes).mean()) ** 2
    half = half_width(count, level) * (squares / max(count - 1, 1)) ** 0.5
    found = Estimate(value, value - half, value + half, len(unit))
    return Difference(found.within(-1, 1) if yes_no else found, flipped(means.tolist()))


def flipped(differences: Sequence[float]) -> float:
    """Two-sided p of "each difference might as well have the other sign", of independent differences.

    Exact for up to 40 that are not 0, and Student's for more; of outcomes of 0 and 1 it is McNemar's exact test. Where
    the hypothesis holds, p < .05 in at most 5 %: in 3.1 % with 6 differences of a continuous quantity, the least p
    being 2 / 2**6, in about 4.7 % from 8 on, in less where values repeat, as with outcomes. With 5 or fewer no p is
    below .05. Pairs of one animal are not independent: flipped one by one, p < .05 comes out in 10, 21 and 30 % where
    effects vary by animal (intracluster correlations of .1, .3 and .5).
    """
    values = np.asarray(differences, float)
    values = values[values != 0]
    if len(values) > EXACT:
        return float(stats.ttest_1samp(values, 0).pvalue)
    some, others = _sums(values[::2]), np.sort(_sums(values[1::2]))
    least = abs(values.sum()) - 1e-9 * np.abs(values).sum()  # sums that are equal but for rounding are as extreme
    beyond = len(others) - np.searchsorted(others, least - some)
    return min(1.0, 2 * float(beyond.sum()) / 2 ** len(values))


def _sums(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Of the values with all choices of signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p of several tests, in their order (Holm 1979).

    If all tests with an adjusted p below a level are called findings, the chance of any false finding is below it.
    """
    order = np.argsort(ps)
    steps = np.asarray(ps, float)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()
