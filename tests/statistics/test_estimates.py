"""Numbers that can be counted by hand, or that scipy has. How often intervals are right: test_coverage.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gsd.statistics.estimates import Estimate, averaged, band, mean, units
from gsd.statistics.pairs import flipped, holm, paired
from gsd.statistics.proportions import share


def test_mean_of_three_seeds_by_hand():
    estimate = mean([1.0, 2.0, 4.5])
    half = 4.302653 * np.std([1.0, 2.0, 4.5], ddof=1) / 3**0.5  # Student's t with two degrees of freedom
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half))
    assert estimate.count == 3


@pytest.mark.parametrize("values", [[3.0], [0.0, 1.0]])
def test_of_fewer_than_three_there_is_no_interval(values):
    each = range(len(values))
    for estimate in (mean(values), share(values, each), paired(values, each).mean):
        assert estimate.value == np.mean(values)
        assert np.isnan([estimate.low, estimate.high]).all()


def test_an_estimate_as_text():
    known, alone = Estimate(0.5, 0.25, 0.75, 9), Estimate(0.5, np.nan, np.nan, 1)
    assert f"{known}" == str(known) == "0.5 [0.25, 0.75]"
    assert f"{known * 100:+.0f}" == "+50 [+25, +75]"
    assert f"{alone:.1f}" == "0.5"  # one observation has no interval
    assert known.within(0.3, 1) == Estimate(0.5, 0.3, 0.75, 9)
    assert np.isnan(alone.within(0, 1).low)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_none_and_all_are_in_their_own_interval(outcome):
    """Rounding once left 1 out of that of four animals."""
    for clusters in range(3, 60):
        found = share([outcome] * clusters, range(clusters))
        assert found.low <= found.value <= found.high


@given(count=st.integers(3, 200), share_=st.floats(0, 1))
def test_a_share_of_independent_outcomes_has_wilsons_interval(count, share_):
    successes = round(share_ * count)
    interval = stats.binomtest(successes, count).proportion_ci(0.95, "wilson")
    outcomes = [1.0] * successes + [0.0] * (count - successes)
    for clusters in (range(count), ["one"] * count):
        found = share(outcomes, clusters)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_a_share_is_the_mean_of_the_clusters_shares():
    found = share([1, 1, 0, 0, 0, 1, 0], [*"aaabbbc"])
    assert (found.value, found.count) == (pytest.approx((2 / 3 + 1 / 3 + 0) / 3), 7)
    agreeing = share([1.0] * 20 + [0.0] * 20, np.repeat(range(8), 5).tolist())  # seven and a bit independent outcomes
    t = stats.t.ppf(0.975, 7)
    assert (agreeing.high - agreeing.low) / 2 == pytest.approx(t / 2 / (7 + t**2) ** 0.5)


def test_rows_of_a_cluster_count_once():
    values = np.array([[1.0, np.nan], [3.0, 5.0], [7.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(averaged(values, ["a", "a", "b", "c"]), [[2, 5], [7, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(averaged(values, ["a"] * 4), values)
    assert units(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert units(["a"] * 3).tolist() == [0, 1, 2]  # of one alone, each is a unit


def test_differences_of_outcomes_are_mcnemars_exact_test():
    assert flipped([1, 1, 1, 1, 1, -1, 0, 0]) == pytest.approx(2 * (1 + 6) / 2**6)  # five against one
    assert flipped([0.0, 0.0]) == 1


def test_differences_are_counted_exactly():
    """All four differences positive: two of the sixteen choices of signs are as extreme."""
    assert flipped([1.1, 2.3, 2.7, 2.7]) == pytest.approx(2 / 16)
    assert flipped([0.1, 0.2, -0.3]) == 1  # a sum of 0, but for rounding


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=8))
def test_flips_are_scipys(differences):
    data = (np.array(differences, float),)
    test = stats.permutation_test(data, np.sum, permutation_type="samples", n_resamples=np.inf)
    assert flipped(differences) == pytest.approx(test.pvalue)


def test_of_many_differences_the_test_is_students():
    values = np.random.default_rng(0).normal(0.3, 1.0, 41)
    assert flipped(values.tolist()) == stats.ttest_1samp(values, 0).pvalue
    assert flipped(values[:40].tolist()) == pytest.approx(stats.ttest_1samp(values[:40], 0).pvalue, rel=0.1)


def test_pairs_of_an_animal_are_one_difference():
    """Four animals with ten equal pairs each are as sure as four pairs."""
    values = [1.0, 2.0, 4.0, 3.0]
    found, want = paired(np.repeat(values, 10).tolist(), np.repeat(range(4), 10).tolist()), mean(values)
    assert (found.mean.low, found.mean.high) == pytest.approx((want.low, want.high))
    assert (found.mean.count, found.p) == (40, 2 / 16)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(ps):
    adjusted = holm(ps)
    assert all(0 <= p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    assert [adjusted[k] for k in np.argsort(ps)] == sorted(adjusted)


def test_a_band_is_the_mean_of_each_column():
    values = np.random.default_rng(0).normal(size=(6, 4))
    values[0, 0] = values[1:, 1] = values[:, 2] = np.nan
    value, low, high = band(values)
    for k in (0, 1, 3):
        want = mean(values[np.isfinite(values[:, k]), k].tolist())
        np.testing.assert_allclose((value[k], low[k], high[k]), (want.value, want.low, want.high))
    assert np.isnan([value[2], low[2], high[2], low[1]]).all()
