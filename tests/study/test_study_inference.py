"""Agreement, dependence and power against published and hand-made numbers, and against what simulated raters do."""

import numpy as np
import pytest
from scipy import stats

from gsd.study.inference import alpha, crossed, intraclass, needed, power, share_p


def tastes(raters, preference, correlation, rng):
    """Each rater's own probability, so that two votes of one correlate."""
    strength = 1 / correlation - 1
    return rng.beta(preference * strength, (1 - preference) * strength, raters)


def test_alpha_of_krippendorffs_example():
    """Krippendorff (2011), Computing Krippendorff's alpha-reliability, C: four observers, twelve units, .743."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    units = [[value for value in unit if value] for unit in zip(*observers, strict=True)]
    assert alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_at_its_ends():
    assert alpha([["a", "a", "a"], ["b", "b"]]) == 1
    assert alpha([["a", "b"], ["a", "b"]]) == pytest.approx(-0.5)  # observed 1, expected 2 * 2 * 2 / (4 * 3)
    assert np.isnan(alpha([["a", "a"], ["a", "a"]]))
    assert np.isnan(alpha([["a"], ["b"]]))
    rng = np.random.default_rng(0)
    assert abs(alpha(rng.integers(2, size=(400, 10)).tolist())) < 0.03  # chance: standard deviation 0.007


def test_correlation_within_raters_by_hand():
    assert intraclass([np.array([1.0, 1]), np.array([0.0, 0])]) == 1
    assert intraclass([np.array([1.0, 0])] * 3) == pytest.approx(-1)  # nothing between: -1 / (number of votes - 1)
    assert np.isnan(intraclass([np.ones(3), np.ones(3)]))
    assert np.isnan(intraclass([np.array([1.0, 0])]))
    assert np.isnan(intraclass([np.array([1.0]), np.array([0.0])]))


def test_correlation_within_raters_is_recovered():
    rng = np.random.default_rng(1)
    votes = [rng.binomial(1, taste, 6).astype(float) for taste in tastes(2000, 0.6, 0.3, rng)]
    assert intraclass(votes) == pytest.approx(0.3, abs=0.03)  # its standard error is about 0.012


def crossed_votes(rng, raters=25, scenes=12):
    """The probability of a vote depends on rater and scene, with one half as the mean over both."""
    logit = rng.normal(0, 0.8, (raters, 1)) + rng.normal(0, 0.8, (1, scenes))
    votes = rng.random((raters, scenes)) < 1 / (1 + np.exp(-logit))
    who, what = np.indices(votes.shape)
    return votes.ravel().astype(float), who.ravel(), what.ravel()


def test_redrawing_both_covers_the_mean_over_raters_and_scenes():
    """Of 200 studies (standard deviation 1.5 %), where Wilson's interval, blind to both, misses it every third time."""
    rng, held, wilson = np.random.default_rng(2), 0, 0
    for _ in range(200):
        values, who, what = crossed_votes(rng)
        found = crossed(values, who, what, draws=400)
        held += found.low <= 0.5 <= found.high
        blind = stats.binomtest(int(values.sum()), len(values)).proportion_ci(0.95, "wilson")
        wilson += blind.low <= 0.5 <= blind.high
    assert held / 200 >= 0.91
    assert wilson / 200 < 0.75


def test_redrawing_both_by_hand():
    """Two raters, two scenes, all votes of the second rater for b: the mean is the share of draws of that rater."""
    values, who, what = np.array([0.0, 0, 1, 1]), np.array([3, 3, 8, 8]), np.array([0, 5, 0, 5])
    found = crossed(values, who, what)
    assert (found.value, found.low, found.high, found.count) == (0.5, 0, 1, 4)
    assert np.isnan(crossed(values[:2], who[:2], what[:2]).low)  # one rater


def test_redrawing_both_with_missing_votes_weighs_what_there_is():
    values, who, what = crossed_votes(np.random.default_rng(3), 12, 6)
    kept = np.random.default_rng(4).random(len(values)) < 0.4
    found = crossed(values[kept], who[kept], what[kept])
    assert found.value == pytest.approx(values[kept].mean())
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("raters", "trials", "correlation"), [(39, 1, 0.1), (39, 6, 0.1), (20, 12, 0.3)])
def test_power_is_what_simulated_studies_have(raters, trials, correlation):
    """4000 studies (standard deviation at most 0.8 %), tested by the mean of each rater's share; normal against t."""
    rng = np.random.default_rng(5)
    taste = tastes((4000, raters), 0.6, correlation, rng)
    shares = rng.binomial(trials, taste) / trials
    found = (stats.ttest_1samp(shares, 0.5, axis=1).pvalue < 0.05).mean()
    assert power(raters, trials, correlation=correlation) == pytest.approx(found, abs=0.035)


def test_power_without_an_effect_is_the_level():
    assert power(39, 6, preference=0.5) == pytest.approx(0.05)
    assert power(39, 6, preference=0.4) == pytest.approx(power(39, 6, preference=0.6))


def test_needed_raters_reach_the_power_and_one_less_does_not():
    assert needed(1) == 194  # (1.960 * 0.5 + 0.842 * 0.490)^2 / 0.1^2 = 193.8
    for trials in (1, 6, 24):
        assert power(needed(trials), trials) >= 0.8 > power(needed(trials) - 1, trials)


def test_votes_that_always_agree_count_once():
    assert share_p(0.615, 234, 6, 1.0) == pytest.approx(share_p(0.615, 39, 1, 0.5))
    assert share_p(0.615, 234, 6, 0.0) == pytest.approx(2 * stats.norm.sf(0.115 * 2 * 234**0.5))
