"""Intervals and tests over seeds, for numbers that few runs give. Every interval is two-sided, at 95 % unless told."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
DRAWS = 10_000  # of a bootstrap


@dataclass(frozen=True)
class Estimate:
    """A number and the interval that holds it; low and high are nan where the data cannot say."""

    value: float
    low: float
    high: float
    count: int  # observations behind it

    def __mul__(self, factor: float) -> Estimate:
        """In another unit, as 100 times for percent."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high, self.count)

    def __format__(self, spec: str) -> str:
        """Each number by `spec`, such as "+.1f"; three digits without. The value alone where there is no interval."""
        value, low, high = (format(each, spec or ".3g") for each in (self.value, self.low, self.high))
        return value if np.isnan(self.low) else f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


def mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """The mean with Student's interval; of one value, the value."""
    data = np.asarray(values, float)
    centre, count = float(data.mean()), len(data)
    if count < 2:
        return Estimate(centre, np.nan, np.nan, count)
    half = _reach(count, level) * float(data.std(ddof=1))
    return Estimate(centre, centre - half, centre + half, count)


def band(
    values: Float[np.ndarray, "n m"], level: float = LEVEL
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """`mean` of each column at once, of what is not nan in it: values, lows and highs."""
    count = np.isfinite(values).sum(0)
    centre = np.where(np.isfinite(values), values, 0).sum(0) / np.where(count, count, np.nan)
    squares = np.where(np.isfinite(values), values - centre, 0) ** 2
    half = np.array([_reach(n, level) for n in count.tolist()]) * np.sqrt(squares.sum(0) / np.maximum(count - 1, 1))
    return centre, centre - half, centre + half


def averaged(values: Float[np.ndarray, "n m"], clusters: Sequence[Hashable]) -> Float[np.ndarray, "k m"]:
    """The mean row of each cluster, of what is not nan; all rows as they are where there is but one cluster.

    Rows of a cluster (runs of one prompt) are not independent of each other: intervals are taken over what remains.
    """
    names = {name: k for k, name in enumerate(dict.fromkeys(clusters))}
    if len(names) < 2:
        return values
    labels = np.array([names[name] for name in clusters])
    return np.stack([band(values[labels == k])[0] for k in range(len(names))])


@lru_cache
def _reach(count: int, level: float) -> float:
    """Half of Student's interval of a mean, in standard deviations of the values."""
    return float(stats.t.ppf((1 + level) / 2, count - 1)) / count**0.5 if count > 1 else np.nan


def rate(successes: float, count: int, level: float = LEVEL) -> Estimate:
    """A proportion with Wilson's interval; the successes may be means of clusters, and count the clusters."""
    share = successes / count
    return Estimate(share, *wilson(share, count, float(stats.norm.ppf((1 + level) / 2))), count)


def wilson(share: float, count: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval of a share of `count` independent values: what it lies within `quantile` standard errors of."""
    z = quantile / count**0.5
    middle, half = share + z**2 / 2, z * (share * (1 - share) + z**2 / 4) ** 0.5
    return max(0.0, (middle - half) / (1 + z**2)), min(1.0, (middle + half) / (1 + z**2))


def bootstrap(
    clusters: Sequence[Float[np.ndarray, " _"]],
    statistic: Callable[[Float[np.ndarray, " m"]], float] = np.mean,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A statistic of all values, with the percentile interval of redrawing whole clusters (subjects, raters).

    Values of one cluster are not independent, so the cluster is what is redrawn; of one value each it is the usual
    bootstrap. Redraws of which the statistic is nan, as a rate of nothing, are left out.
    """
    groups = [np.asarray(c, float) for c in clusters]
    if statistic is np.mean:  # a hundredth of the time
        value, lows, highs = bootstrap_band([g[:, None] for g in groups], level, draws, seed)
        return Estimate(float(value[0]), float(lows[0]), float(highs[0]), len(groups))
    whole = float(statistic(np.concatenate(groups)))
    if len(groups) < 2:
        return Estimate(whole, np.nan, np.nan, len(groups))
    redrawn = [
        statistic(np.concatenate([groups[k] for k in chosen]))
        for chosen in np.random.default_rng(seed).integers(len(groups), size=(draws, len(groups)))
    ]
    low, high = np.nanquantile(redrawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(whole, float(low), float(high), len(groups))


def bootstrap_band(
    clusters: Sequence[Float[np.ndarray, "_ m"]], level: float = LEVEL, draws: int = 2000, seed: int = 0
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The mean of curves, a row each, with `bootstrap`'s interval at each of its points: values, lows and highs."""
    sums, counts = np.array([rows.sum(0) for rows in clusters]), np.array([len(rows) for rows in clusters])
    value = sums.sum(0) / counts.sum()
    if len(clusters) < 2:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    chosen = np.random.default_rng(seed).integers(len(clusters), size=(draws, len(clusters)))
    redrawn = sums[chosen].sum(1) / counts[chosen].sum(1)[:, None]
    low, high = np.quantile(redrawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return value, low, high


def paired_p(a: Sequence[float], b: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of "a and b are exchangeable in every pair", by flipping signs of the differences.

    Exact up to 16 pairs that differ, drawn beyond. On outcomes of 0 and 1 it is McNemar's exact test.
    """
    difference = np.asarray(a, float) - np.asarray(b, float)
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    if len(np.unique(np.abs(difference))) == 1:
        return float(stats.binomtest(int((difference > 0).sum()), len(difference)).pvalue)
    test = stats.permutation_test(
        (difference,), np.sum, permutation_type="samples", n_resamples=2**16, rng=np.random.default_rng(seed)
    )
    return float(test.pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p of several tests, in their order (Holm 1979).

    Where those below a level are called findings, the chance of any false one stays below that level.
    """
    order = np.argsort(ps)
    steps = np.asarray(ps, float)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()
