"""What votes can say: agreement, dependence within a rater, resampling of raters and scenes, power before a study."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from gsd.statistics import DRAWS, LEVEL, Estimate

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


def crossed(
    values: Float[np.ndarray, " n"],
    raters: Int[np.ndarray, " n"],
    scenes: Int[np.ndarray, " n"],
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """The mean, with the percentile interval of redrawing raters and scenes: both are samples of what might have been.

    The pigeonhole bootstrap (Owen 2007): a vote counts as often as its rater times its scene. It is rather too wide.
    """
    (_, rater), (_, scene) = (np.unique(labels, return_inverse=True) for labels in (raters, scenes))
    count = int(rater.max()) + 1, int(scene.max()) + 1
    whole = Estimate(float(values.mean()), np.nan, np.nan, len(values))
    if min(count) < 2:
        return whole
    votes, wins = np.zeros(count), np.zeros(count)
    np.add.at(votes, (rater, scene), 1)
    np.add.at(wins, (rater, scene), values)
    rng = np.random.default_rng(seed)
    of_raters, of_scenes = (rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(float) for n in count)
    number = ((of_raters @ votes) * of_scenes).sum(1)
    means = ((of_raters @ wins) * of_scenes).sum(1)[number > 0] / number[number > 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(whole.value, float(low), float(high), len(values))


def power(
    raters: int, trials: int, preference: float = 0.6, correlation: float = CORRELATION, level: float = LEVEL
) -> float:
    """The chance that raters with `trials` votes each show a preference against one half, in a two-sided test.

    Normal approximation; votes of a rater correlate, so that they count as 1 + (trials - 1) correlation fewer.
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
