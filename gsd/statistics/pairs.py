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
    differences: Sequence[float], clusters: Sequence[Hashable], yes_no: int = 0, level: float = LEVEL
) -> Difference:
    """The mean over clusters of each one's mean difference; with a single cluster, each pair is independent.

    The interval is Student's over these means, and covers as `estimates.mean` does.

    yes_no: 1 or True for values that are differences d of two outcomes, each 0 or 1. Few pairs may differ or none,
    which does not show that none ever will. So the sum of squares of the clusters' means has one more pair that differs
    in either direction, as Bonett and Price (2012) add to pairs without clusters. Such a pair moves its cluster's mean
    by 1 / size, and the two add 2 / size^2. 2 for values d - e, in [-2, 2], such as an interaction: what d adds to the
    variance, e adds too, for the pairs that have not been seen to differ in d and those in e are not the same and have
    no covariance. So it is 4 / size^2, and where no pair differs the interval is sqrt(2) times as long as that of d.

    With 6 to 20 clusters of 5 pairs, computed exactly, the interval covers 95.8-100 % of effects of 0 to .2 that all
    clusters share, 100 % where hardly a pair differs; an effect of .01 would be covered in 34-82 % without these pairs.
    If one cluster in five has all of an effect it covers 98-100 % with 6 clusters, 83-100 % with 8, 89-97 % with 12 and
    91-96 % with 20, since a sample may well have none of these.
    """
    unit = units(clusters)
    sizes = np.bincount(unit)
    means = np.bincount(unit, differences) / sizes
    value, count = float(means.mean()), len(means)
    squares = float(((means - value) ** 2).sum()) + yes_no * 2 * float((1 / sizes).mean()) ** 2
    half = half_width(count, level) * (squares / max(count - 1, 1)) ** 0.5
    found = Estimate(value, value - half, value + half, len(unit))
    return Difference(found.within(-yes_no, yes_no) if yes_no else found, flipped(means.tolist()))


def flipped(differences: Sequence[float]) -> float:
    """Two-sided p of "each difference might as well have the other sign", of independent differences.

    Exact for up to 40 that are not 0, and Student's for more; of outcomes of 0 and 1 it is McNemar's exact test. Where
    the hypothesis holds, p < .05 in at most 5 %: in 3.1 % with 6 differences of a continuous quantity, the least p
    being 2 / 2**6, in 4.7 % with 8 and 5.0 % from 12 on, in less where values repeat, as with outcomes. With 5 or fewer
    no p is below .05. Pairs of one animal are not independent: flipped one by one, p < .05 comes out in 10, 19 and 27 %
    where effects vary by animal (intracluster correlations of .1, .3 and .5, five pairs each).
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
