"""Agreement, dependence and power against published and hand-made numbers, and against what simulated raters do."""

import numpy as np
import pytest
from scipy import stats

from gsd.tools.study.inference import alpha, intraclass, needed, power, share, share_p


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


@pytest.mark.parametrize(("preference", "correlation"), [(0.6, 0.4), (0.85, 0.1), (0.85, 0.3)])
@pytest.mark.parametrize(("raters", "trials"), [(5, 6), (10, 12), (39, 6)])
def test_the_interval_covers_a_preference_that_raters_differ_in(raters, trials, preference, correlation):
    """1000 studies each (standard deviation at most 0.8 %).

    Redrawing raters, as is usual, covers 73 % of those of 5 raters with 6 votes at 0.85 and 0.3.
    """
    rng = np.random.default_rng(0)
    votes = rng.random((1000, raters, trials)) < tastes((1000, raters, 1), preference, correlation, rng)
    who = np.repeat(np.arange(raters), trials).tolist()
    found = [share(study.ravel().astype(float), who) for study in votes]
    assert np.mean([estimate.low <= preference <= estimate.high for estimate in found]) > 0.92
    if raters == 39:  # and is no longer than it has to be
        spread = votes.mean((1, 2)).std()
        assert np.mean([e.high - e.low for e in found]) == pytest.approx(2 * 1.96 * spread, rel=0.15)


def crossed_votes(rng, raters=25, prompts=12):
    """The probability of a vote depends on rater and prompt, with one half as the mean over both."""
    logit = rng.normal(0, 0.8, (raters, 1)) + rng.normal(0, 0.8, (1, prompts))
    votes = rng.random((raters, prompts)) < 1 / (1 + np.exp(-logit))
    who, what = np.indices(votes.shape)
    return votes.ravel().astype(float), who.ravel().tolist(), what.ravel().tolist()


@pytest.mark.parametrize(("raters", "prompts"), [(25, 12), (39, 3), (100, 6)])
def test_the_interval_of_both_covers_the_mean_over_raters_and_prompts(raters, prompts):
    """Of 400 studies (standard deviation 1.1 %). That of raters alone is blind to prompts and misses far too often."""
    rng, held, blind = np.random.default_rng(2), 0, 0
    for _ in range(400):
        values, who, what = crossed_votes(rng, raters, prompts)
        both, alone = share(values, who, what), share(values, who)
        held += both.low <= 0.5 <= both.high
        blind += alone.low <= 0.5 <= alone.high
    assert held / 400 > 0.92
    assert blind / 400 < 0.8


def test_of_one_vote_each_the_interval_is_nearly_wilsons():
    wins = np.repeat([1.0, 0.0], [130, 70])
    found, wilson = share(wins, range(200)), stats.binomtest(130, 200).proportion_ci(0.95, "wilson")
    assert (found.value, found.count) == (0.65, 200)
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=0.001)  # t of 199 for normal


def test_votes_of_a_rater_that_always_agree_are_one():
    wins = np.repeat([1.0, 0.0], [13, 7])
    once, six = share(wins, range(20)), share(np.repeat(wins, 6), np.repeat(range(20), 6).tolist())
    assert (six.low, six.high) == pytest.approx((once.low, once.high))


def test_what_all_agree_on_is_not_certain():
    """Eight raters, six votes each, all for b: 8 / (8 + t^2) with t = 2.3646, as of eight votes."""
    found = share(np.ones(48), np.repeat(range(8), 6).tolist())
    assert (found.low, found.high) == (pytest.approx(8 / (8 + 2.3646**2), abs=1e-4), 1.0)


def test_one_cluster_has_no_interval():
    assert np.isnan(share(np.ones(4), [3] * 4).low)
    assert np.isnan(share(np.array([0.0, 1, 0]), [0, 1, 2], ["a prompt"] * 3).high)


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
