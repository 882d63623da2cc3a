"""Intervals hold what they should as often as they should; tests agree with what can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gsd.statistics.estimates import Estimate, averaged, band, mean, rate
from gsd.statistics.resampling import bootstrap, bootstrap_band, holm, paired_p


def test_mean_of_three_seeds_by_hand():
    estimate = mean([1.0, 2.0, 4.5])
    half = 4.302653 * np.std([1.0, 2.0, 4.5], ddof=1) / 3**0.5  # Student's t with two degrees of freedom
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half))
    assert estimate.count == 3


def test_one_value_has_no_interval():
    assert np.isnan(mean([3.0]).low)
    assert mean([3.0]).value == 3
    assert np.isnan(bootstrap([np.array([3.0, 4.0])]).high)


def test_an_estimate_as_text():
    known, alone = Estimate(0.5, 0.25, 0.75, 9), Estimate(0.5, np.nan, np.nan, 1)
    assert f"{known}" == str(known) == "0.5 [0.25, 0.75]"
    assert f"{known * 100:+.0f}" == "+50 [+25, +75]"
    assert f"{alone:.1f}" == "0.5"  # one observation has no interval


def test_wilson_stays_inside_and_is_not_empty_at_the_ends():
    assert rate(0, 10).low == pytest.approx(0, abs=1e-12)
    assert rate(0, 10).high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-3)  # the formula at zero successes
    assert rate(10, 10).high == pytest.approx(1, abs=1e-12)
    assert rate(3, 10).low < 0.3 < rate(3, 10).high


@given(count=st.integers(1, 200), share=st.floats(0, 1))
def test_wilson_is_scipys(count, share):
    successes = round(share * count)
    interval = stats.binomtest(successes, count).proportion_ci(0.95, "wilson")
    found = rate(successes, count)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_rows_of_a_cluster_count_once():
    values = np.array([[1.0, np.nan], [3.0, 5.0], [7.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(averaged(values, ["a", "a", "b", "c"]), [[2, 5], [7, np.nan], [np.nan, np.nan]])
    assert averaged(values, ["a"] * 4) is values


@pytest.mark.parametrize("method", ["mean", "bootstrap"])
def test_the_interval_of_a_mean_covers_it_in_about_95_percent(method):
    """400 repetitions: the binomial standard deviation is 1.1 %; a percentile bootstrap of 12 values is a bit short."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        values = rng.normal(1.0, 2.0, 12)
        estimate = mean(values.tolist()) if method == "mean" else bootstrap([v[None] for v in values], draws=500)
        inside += estimate.low <= 1.0 <= estimate.high
    assert 0.95 - (0.035 if method == "mean" else 0.07) <= inside / 400 <= 0.985


def test_clusters_widen_the_interval():
    """Twenty values that are five, four times over, know as little as five."""
    values = np.random.default_rng(1).normal(size=5)
    naive = bootstrap([np.array([v]) for v in np.repeat(values, 4)])
    clustered = bootstrap([np.repeat(v, 4) for v in values])
    assert clustered.value == pytest.approx(naive.value)
    ratio = (clustered.high - clustered.low) / (naive.high - naive.low)
    assert ratio == pytest.approx(2, rel=0.15)  # sqrt(4)


def test_redraws_without_a_statistic_are_left_out():
    """The mean of what is above 0, which two of three clusters have not: redraws of these alone say nothing."""
    clusters = [np.zeros(2), np.zeros(2), np.array([1.0, 3.0])]
    estimate = bootstrap(clusters, lambda x: float(x[x > 0].mean()) if (x > 0).any() else np.nan)
    assert (estimate.value, estimate.low, estimate.high) == (2, 2, 2)


def test_a_bootstrap_band_is_the_bootstrap_of_each_column():
    rng = np.random.default_rng(2)
    clusters = [rng.normal(size=(n, 3)) + rng.normal(size=3) for n in (2, 2, 1, 4, 2)]
    value, low, high = bootstrap_band(clusters)
    for k in range(3):
        want = bootstrap([rows[:, k] for rows in clusters], lambda v: float(np.mean(v)), draws=2000)
        np.testing.assert_allclose((value[k], low[k], high[k]), (want.value, want.low, want.high))
        assert bootstrap([rows[:, k] for rows in clusters], draws=2000) == Estimate(value[k], low[k], high[k], 5)
    assert np.isnan(bootstrap_band(clusters[:1])[1]).all()


def test_paired_binary_outcomes_are_mcnemars_exact_test():
    a, b = [1, 1, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1, 1, 0]  # five against one
    assert paired_p(a, b) == pytest.approx(2 * (1 + 6) / 2**6)
    assert paired_p(a, a) == 1


def test_paired_differences_are_counted_exactly():
    """All four differences positive: two of the sixteen choices of signs are as extreme."""
    assert paired_p([1.1, 2.3, 3.7, 4.2], [0, 0, 1, 1.5]) == pytest.approx(2 / 16)


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
