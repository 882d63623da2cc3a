"""What votes can say: agreement, dependence within a rater, intervals that heed it, power before a study."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from gsd.statistics.estimates import LEVEL, Estimate, wilson

CORRELATION = 0.1  # of two votes of one rater, where no votes have shown it


def alpha(units: Sequence[Sequence[Hashable]]) -> float:
    """Krippendorff's alpha for nominal values: 1 where raters always agree, 0 where they do by chance alone.

    units: for each scene the values that raters gave it, of any number; those of a single rater are left out. nan where
    nothing can disagree. (Krippendorff 2011, Computing Krippendorff's alpha-reliability, section C. The package of that
    name is under the GPL.)
    """
    names = {value: k for k, value in enumerate(dict.fromkeys(value for unit in units for value in unit))}
    counts = np.array(
        [np.bincount([names[value] for value in unit], minlength=len(names)) for unit in units if len(unit) > 1]
    )
    if not len(counts):
        return float("nan")
    size, total = counts.sum(1), counts.sum(0)
    pairs = int(total.sum())
    observed = ((size**2 - (counts**2).sum(1)) / (size - 1)).sum() / pairs  # disagreement
    expected = (pairs**2 - (total**2).sum()) / (pairs * (pairs - 1))
    return float(1 - observed / expected) if expected else float("nan")


def intraclass(clusters: Sequence[Float[np.ndarray, " n"]]) -> float:
    """Correlation of two values of one cluster, by one-way analysis of variance; may be negative, nan if unknowable."""
    groups = [np.asarray(c, float) for c in clusters if len(c)]
    sizes, values = np.array([len(c) for c in groups], float), np.concatenate([*groups, np.empty(0)])
    count, total = len(groups), float(sizes.sum())
    if count < 2 or total <= count or not np.ptp(values):
        return float("nan")
    means = np.array([c.mean() for c in groups])
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (count - 1)
    within = float(((values - np.repeat(means, sizes.astype(int))) ** 2).sum()) / (total - count)
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    return (between - within) / (between + (typical - 1) * within)


def share(wins: Float[np.ndarray, " n"], *labels: Sequence[Hashable], level: float = LEVEL) -> Estimate:
    """The mean of zeros and ones with an interval for values that are alike within a rater, or a rater and a prompt.

    labels: of each value, the cluster it is from; each sequence is a way of clustering, and whoever is in the study
    stands for others like them. Wilson's interval of as many independent votes as would be as uncertain, by the
    variance between clusters (of two ways: Cameron, Gelbach and Miller 2011), with Student's quantile of the scarcer
    clusters (Korn and Graubard 1998; Franco et al. 2019). Where all votes agree, a cluster counts as one vote. It is
    not fooled by few clusters or near 0 and 1, where redrawing clusters gives intervals that are far too short.
    """
    count, mean = len(wins), float(wins.mean())
    clusters = [np.unique(np.asarray(label), return_inverse=True)[1] for label in labels]
    fewest = min(int(cluster.max()) + 1 for cluster in clusters)
    if fewest < 2:
        return Estimate(mean, np.nan, np.nan, count)
    square = ((wins - mean) ** 2).sum()
    sums = [np.bincount(cluster, wins - mean) for cluster in clusters]
    within = [(each**2).sum() * len(each) / (len(each) - 1) for each in sums]
    both = sum(within) - (len(within) - 1) * square
    effective = count * square / max(square, both, *within) if square else fewest
    low, high = wilson(mean, float(effective), float(stats.t.ppf((1 + level) / 2, fewest - 1)))
    return Estimate(mean, low, high, count)


def power(
    raters: int, trials: int, preference: float = 0.6, correlation: float = CORRELATION, level: float = LEVEL
) -> float:
    """The chance that raters with `trials` votes each show a preference against one half, in a two-sided test.

    Normal approximation; since votes of a rater correlate, they count for 1 + (trials - 1) correlation times fewer.
    """
    votes = raters * trials / (1 + (trials - 1) * correlation)
    reach = stats.norm.ppf((1 + level) / 2) * 0.5 / votes**0.5
    spread = (preference * (1 - preference) / votes) ** 0.5
    above, below = preference - 0.5 - reach, 0.5 - preference - reach
    return float(stats.norm.cdf(above / spread) + stats.norm.cdf(below / spread))


def needed(trials: int, wanted: float = 0.8, preference: float = 0.6, correlation: float = CORRELATION) -> int:
    """The least number of raters with this power."""
    raters = 2
    while power(raters, trials, preference, correlation) < wanted:
        raters += 1
    return raters


def share_p(share: float, votes: int, each: int, correlation: float) -> float:
    """Two-sided p of a share of votes against one half, where every rater gave `each` that correlate (normal)."""
    effective = votes / (1 + (each - 1) * correlation)
    return float(2 * stats.norm.sf(abs(share - 0.5) * 2 * effective**0.5))
