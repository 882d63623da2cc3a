"""Estimates with intervals over few seeds. Every interval is two-sided; the default level is 95 %."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
LEAST = 3  # values of which an interval is shown: that of two is many times as long as they lie apart


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; low and high are nan where the data do not determine one."""

    value: float
    low: float
    high: float
    count: int  # observations

    def __mul__(self, factor: float) -> Estimate:
        """Convert the unit, such as 100 times for percent."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high, self.count)

    def __format__(self, spec: str) -> str:
        """Format each number by `spec`, such as "+.1f" (default: three digits); the value alone without interval."""
        value, low, high = (format(each, spec or ".3g") for each in (self.value, self.low, self.high))
        return value if np.isnan(self.low) else f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


def mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """The mean with Student's interval; for one value, no interval."""
    data = np.asarray(values, float)
    centre, count = float(data.mean()), len(data)
    if count < 2:
        return Estimate(centre, np.nan, np.nan, count)
    half = _half(count, level) * float(data.std(ddof=1))
    return Estimate(centre, centre - half, centre + half, count)


def band(
    values: Float[np.ndarray, "n m"], level: float = LEVEL, least: int = 2
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """`mean` of each column, without its nans: values, lows and highs. Fewer values than `least` have no interval."""
    count = np.isfinite(values).sum(0)
    centre = np.where(np.isfinite(values), values, 0).sum(0) / np.where(count, count, np.nan)
    squares = np.where(np.isfinite(values), values - centre, 0) ** 2
    half = np.array([_half(n, level) if n >= least else np.nan for n in count.tolist()]) * np.sqrt(
        squares.sum(0) / np.maximum(count - 1, 1)
    )
    return centre, centre - half, centre + half


def averaged(values: Float[np.ndarray, "n m"], clusters: Sequence[Hashable]) -> Float[np.ndarray, "k m"]:
    """The mean row of each cluster, without nans; with a single cluster, all rows unchanged.

    Rows of a cluster (runs of one prompt) are not independent, so intervals are computed over the clusters' means.
    """
    names = {name: k for k, name in enumerate(dict.fromkeys(clusters))}
    if len(names) < 2:
        return values
    labels = np.array([names[name] for name in clusters])
    return np.stack([band(values[labels == k])[0] for k in range(len(names))])


@lru_cache
def _half(count: int, level: float) -> float:
    """Half the width of Student's interval of a mean, in standard deviations of the values."""
    return float(stats.t.ppf((1 + level) / 2, count - 1)) / count**0.5 if count > 1 else np.nan


def rate(successes: float, count: int, level: float = LEVEL) -> Estimate:
    """A proportion with Wilson's interval. Successes may be sums of clusters' rates, with `count` clusters."""
    proportion = successes / count
    return Estimate(proportion, *wilson(proportion, count, float(stats.norm.ppf((1 + level) / 2))), count)


def wilson(proportion: float, count: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval: the true rates within `quantile` standard errors of a proportion of `count` values."""
    z = quantile / count**0.5
    middle, half = proportion + z**2 / 2, z * (proportion * (1 - proportion) + z**2 / 4) ** 0.5
    return max(0.0, (middle - half) / (1 + z**2)), min(1.0, (middle + half) / (1 + z**2))
