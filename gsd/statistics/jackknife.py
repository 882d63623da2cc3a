"""Intervals of statistics that are no means, by leaving out each cluster once (Tukey 1958)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gsd.statistics.estimates import LEAST, LEVEL, Estimate, students
from gsd.statistics.proportions import wilson

Statistic = Callable[[Float[np.ndarray, " n *_"]], float]


def jackknife(clusters: Sequence[Any], statistic: Statistic, level: float = LEVEL) -> Estimate:
    """A statistic of all values with Student's interval; for the mean of clusters of one size, that of their means.

    clusters: arrays of values. The statistic gets those of the chosen clusters, one after the other. Where it is nan
    without one of the clusters, as if it hung on that one alone, there is no interval.
    """
    value, variance = _spread(clusters, statistic)
    half = students(len(clusters), level) * variance**0.5
    return Estimate(value, value - half, value + half, len(clusters))


def chance(clusters: Sequence[Any], statistic: Statistic, level: float = LEVEL) -> Estimate:
    """The same of a statistic in [0, 1], such as an area under the ROC curve, with Wilson's interval.

    It takes as many independent values as would be as uncertain or, where no cluster changes anything, as many as there
    are clusters. Of areas of .5 to .92 in 6 to 20 clusters of 5 values, whose correlation is 0 to .8, it covers
    92-97 %, where Student's interval covers 67-96 %.
    """
    value, variance = _spread(clusters, statistic)
    if np.isnan(variance):
        return Estimate(value, np.nan, np.nan, len(clusters))
    count = value * (1 - value) / variance if variance else len(clusters)
    return Estimate(value, *wilson(value, max(count, 1.0), students(len(clusters), level)), len(clusters))


def _spread(clusters: Sequence[Any], statistic: Statistic) -> tuple[float, float]:
    """The statistic, and its variance as an estimate; nan for fewer than LEAST clusters."""
    value, count = float(statistic(np.concatenate(clusters))), len(clusters)
    if count < LEAST:
        return value, np.nan
    without = [statistic(np.concatenate([*clusters[:k], *clusters[k + 1 :]])) for k in range(count)]
    return value, float(np.var(without) * (count - 1))
