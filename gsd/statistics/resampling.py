"""Intervals and tests by resampling: the bootstrap over clusters, sign flips of pairs, Holm's correction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from gsd.statistics.estimates import LEVEL, Estimate

DRAWS = 10_000  # per bootstrap
FLIPS = 2**16  # per test of pairs


def bootstrap(
    clusters: Sequence[Float[np.ndarray, " _"]],
    statistic: Callable[[Float[np.ndarray, " m"]], float] = np.mean,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A statistic of all values, with the percentile interval from resampling whole clusters (subjects, raters).

    Values of one cluster are not independent, so clusters are resampled; with one value per cluster this is the usual
    bootstrap. Samples whose statistic is nan, such as the rate of an empty set, are left out.
    """
    groups = [np.asarray(c, float) for c in clusters]
    if statistic is np.mean:  # takes a hundredth of the time
        value, lows, highs = bootstrap_band([g[:, None] for g in groups], level, draws, seed)
        return Estimate(float(value[0]), float(lows[0]), float(highs[0]), len(groups))
    whole = float(statistic(np.concatenate(groups)))
    if len(groups) < 2:
        return Estimate(whole, np.nan, np.nan, len(groups))
    resampled = [
        statistic(np.concatenate([groups[k] for k in chosen]))
        for chosen in np.random.default_rng(seed).integers(len(groups), size=(draws, len(groups)))
    ]
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(whole, float(low), float(high), len(groups))


def bootstrap_band(
    clusters: Sequence[Float[np.ndarray, "_ m"]], level: float = LEVEL, draws: int = 2000, seed: int = 0
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The mean of curves (rows) with `bootstrap`'s interval at each point: values, lows and highs."""
    sums, counts = np.array([rows.sum(0) for rows in clusters]), np.array([len(rows) for rows in clusters])
    value = sums.sum(0) / counts.sum()
    if len(clusters) < 2:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    chosen = np.random.default_rng(seed).integers(len(clusters), size=(draws, len(clusters)))
    resampled = sums[chosen].sum(1) / counts[chosen].sum(1)[:, None]
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return value, low, high


def paired_p(a: Sequence[float], b: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of "a and b are exchangeable in every pair", by flipping the signs of the differences.

    Exact for up to 16 pairs that differ, sampled for more. For outcomes of 0 and 1 it is McNemar's exact test.
    """
    difference = np.asarray(a, float) - np.asarray(b, float)
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    if len(np.unique(np.abs(difference))) == 1:
        return float(stats.binomtest(int((difference > 0).sum()), len(difference)).pvalue)
    test = stats.permutation_test(
        (difference,), np.sum, permutation_type="samples", n_resamples=FLIPS, rng=np.random.default_rng(seed)
    )
    return float(test.pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p of several tests, in their order (Holm 1979).

    If all tests with an adjusted p below a level are called findings, the chance of any false finding is below it.
    """
    order = np.argsort(ps)
    steps = np.asarray(ps, float)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()
