"""Shares of yes-or-no outcomes in clusters, such as the Janus rate over animals with several seeds each.

Wilson's interval with the number of independent outcomes that would be as uncertain (Korn and Graubard 1998) and
Student's quantile of the clusters, but never narrower than that of as many independent outcomes. How much clusters
widen it, the design effect, is measured; near 0 and 1 too few outcomes differ to tell, so there it is moved towards the
case that all outcomes of a cluster agree, and a share of 0 has the interval of as many outcomes as there are clusters.

With clusters of 5 outcomes and intracluster correlations of 0 to .5 (beta-binomial, and clusters that always or never
succeed), the interval of 95 % covers, computed exactly,

    share       6 clusters      8           12          20
    .3, .5      97.3-99.3 %     97.0-99.0   95.7-97.4   95.4-96.4
    .2          98.6-99.3 %     98.0-98.9   98.2-98.7   94.4-97.2
    .02-.1      98.1-99.7 %     97.5-99.2   97.1-99.3   96.9-98.5

Above 97 % it is longer than it would have to be: few values are possible with few clusters or near 0, and an interval
that holds 95 % at every share must hold more at most. With 20 clusters of 30 outcomes it covers 90 % at worst (.2, half
of the clusters all or none). Student's interval covers 24-87 % at .02, and Wilson's over clusters 99 % or more at .5.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import stdtr

from gsd.statistics.estimates import LEAST, LEVEL, Estimate, students, units


def share(outcomes: Sequence[float], clusters: Sequence[Hashable], level: float = LEVEL) -> Estimate:
    """The mean over clusters of each one's share; with a single cluster, each outcome is independent.

    Of independent outcomes the interval is Wilson's. None of fewer than LEAST clusters.
    """
    unit = units(clusters)
    sizes = np.bincount(unit)
    means = np.bincount(unit, outcomes) / sizes
    value, count = float(means.mean()), len(means)
    low = high = np.nan
    if count >= LEAST:
        variance, each = float(means.var(ddof=1)) / count, count / float((1 / sizes).sum())
        low, high, _ = clustered(value, variance, count, each, level)
    return Estimate(value, low, high, len(unit))


def clustered(
    value: float, variance: float, clusters: int, each: float, level: float = LEVEL
) -> tuple[float, float, float]:
    """Interval of a share, and the two-sided p of one half, which is below 1 - level where the interval leaves it out.

    variance: of the share as an estimate. each: outcomes per cluster.
    """
    t, z = students(clusters, level), NormalDist().inv_cdf((1 + level) / 2)
    independent, extreme = clusters * each, (1 - 2 * value) ** 2  # 0 at one half, 1 at none and all
    effect, telling = 0.0, clusters * (1 - extreme)
    if each > 1:
        measured = variance / (value * (1 - value) / independent) if telling else 0.0
        effect = (telling * measured + extreme * each) / (telling + extreme)
    effective = independent / max(effect, (z / t) ** 2)
    p = float(2 * stdtr(clusters - 1, -abs(2 * value - 1) * effective**0.5))
    return *wilson(value, effective, t), p


def wilson(proportion: float, count: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval: the true shares within `quantile` standard errors of a proportion of `count` outcomes."""
    z = quantile / count**0.5
    middle, half = proportion + z**2 / 2, z * (proportion * (1 - proportion) + z**2 / 4) ** 0.5
    low, high = (middle - half) / (1 + z**2), (middle + half) / (1 + z**2)
    return max(0.0, min(low, proportion)), min(1.0, max(high, proportion))  # rounding left 0 or 1 itself out
