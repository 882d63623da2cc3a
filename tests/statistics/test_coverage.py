"""Intervals hold the truth, and tests reject it, as often as they say: simulated studies with fixed seeds.

Of outcomes that are 0 or 1: test_exact_coverage.py.
"""

from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from gsd.statistics.estimates import averaged, band, mean
from gsd.statistics.jackknife import chance, jackknife
from gsd.statistics.pairs import flipped, paired
from gsd.statistics.proportions import share

CLUSTERS, SEEDS = (6, 8, 12, 20), 5  # animals, and runs of each
STUDIES = 40_000  # per setting: the standard deviation of a coverage of .95 is .0011


def held(low, high, truth):
    return np.mean((low <= truth + 1e-12) & (truth <= high + 1e-12))


def spread(studies):
    """Of a coverage of .95, 3.5 standard deviations: the worst of a hundred."""
    return 3.5 * (0.95 * 0.05 / studies) ** 0.5


def normal(rng, clusters, alike, studies=STUDIES):
    """Values [studies, clusters, SEEDS] of mean 0 and variance 1."""
    animals = rng.normal(size=(studies, clusters, 1))
    return alike**0.5 * animals + (1 - alike) ** 0.5 * rng.normal(size=(studies, clusters, SEEDS))


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_students_interval_covers_however_alike_the_runs_of_an_animal_are(clusters):
    rng = np.random.default_rng(clusters)
    for alike in (0.0, 0.3, 0.9):
        _, low, high = band(normal(rng, clusters, alike).mean(2).T)
        assert held(low, high, 0.0) == pytest.approx(0.95, abs=spread(STUDIES))


def test_students_interval_is_a_mixed_models_where_the_design_is_balanced():
    """The standard error of a random-effects model's intercept, by statsmodels; its own interval is the normal one."""
    values = normal(np.random.default_rng(1), 8, 0.5, 1)[0]
    animals = np.repeat(range(8), SEEDS)
    model = sm.MixedLM(values.ravel(), np.ones(values.size), animals).fit()
    found = mean(averaged(values.reshape(-1, 1), animals.tolist()).ravel().tolist())
    assert found.value == pytest.approx(model.params[0])
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 7) * model.bse[0], rel=1e-3)


def test_a_share_of_many_outcomes_per_cluster_covers_90_percent_at_worst():
    """20 clusters of 30 outcomes, half of the clusters all or none."""
    rng, studies, own = np.random.default_rng(0), 4000, 30
    alike = rng.random((studies, 20)) < 0.5
    counts = np.where(alike, own * (rng.random(alike.shape) < 0.2), rng.binomial(own, 0.2, alike.shape))
    animals = np.repeat(range(20), own).tolist()
    found = [share(np.repeat(each / own, own).tolist(), animals) for each in counts]
    low, high = np.array([(e.low, e.high) for e in found]).T
    assert held(low, high, 0.2) == pytest.approx(0.90, abs=0.015)


def test_a_share_of_none_is_not_certain_and_no_interval_is_shorter_than_of_independent_outcomes():
    animals = np.repeat(range(8), SEEDS).tolist()
    none = share([0.0] * 40, animals)
    t = stats.t.ppf(0.975, 7)
    assert (none.value, none.low, none.high) == (0, 0, pytest.approx(t**2 / (8 + t**2)))  # as of eight outcomes
    for successes_of_all in range(1, 40):
        spread = np.arange(40) * 11 % 40 < successes_of_all  # as equally over the animals as can be
        wilson = stats.binomtest(successes_of_all, 40).proportion_ci(method="wilson")
        found = share(spread.tolist(), animals)
        assert found.low <= wilson.low + 1e-9
        assert found.high >= wilson.high - 1e-9
        assert 0 <= found.low < found.value < found.high <= 1


def test_a_wide_share_is_nearly_statsmodels_gee():
    """200 clusters at one half: the interval by generalised estimating equations."""
    rng = np.random.default_rng(0)
    counts = rng.binomial(SEEDS, rng.beta(7 / 6, 7 / 6, 200))  # an intracluster correlation of .3
    outcomes = (np.arange(SEEDS) < counts[:, None]).astype(float).ravel()
    animals = np.repeat(range(200), SEEDS)
    gee = sm.GEE(outcomes, np.ones_like(outcomes), groups=animals, family=sm.families.Binomial()).fit()
    found = share(outcomes.tolist(), animals.tolist())
    assert (found.low, found.high) == pytest.approx(1 / (1 + np.exp(-gee.conf_int()[0])), abs=0.002)


@pytest.mark.parametrize(("clusters", "rejected"), [(6, 3.1), (8, 4.7), (12, 5.0)])
def test_flips_of_animals_reject_what_holds_in_at_most_5_percent(clusters, rejected):
    """Exactly: of differences whose signs are chance, over all choices of them."""
    sizes = np.random.default_rng(clusters).lognormal(size=clusters)
    signs = np.array(list(product((-1, 1), repeat=clusters)))
    assert 100 * np.mean([flipped(each) < 0.05 for each in (signs * sizes).tolist()]) == pytest.approx(
        rejected, abs=0.06
    )


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_flips_of_pairs_one_by_one_reject_it_in_far_more(clusters):
    """The truth: no mean effect, but effects that vary by animal. By Student's test, which flips of many are."""
    rng, found = np.random.default_rng(clusters), []
    for alike in (0.1, 0.3, 0.5):
        pairs = normal(rng, clusters, alike).reshape(STUDIES, -1)
        found.append(np.mean(stats.ttest_1samp(pairs, 0, axis=1).pvalue < 0.05))
    assert found == pytest.approx([0.10, 0.19, 0.27], abs=0.012)


def test_flips_of_differences_of_outcomes_reject_it_in_less():
    """Since they repeat values: less than the above."""
    rng, studies = np.random.default_rng(0), 4000
    for clusters, others in ((6, 0.031), (8, 0.047), (12, 0.050)):
        differences = rng.binomial(SEEDS, 0.3, (studies, clusters)) - rng.binomial(SEEDS, 0.3, (studies, clusters))
        different, count = np.unique(np.sort(differences, 1), axis=0, return_counts=True)
        rejected = [flipped(each) < 0.05 for each in different.tolist()]
        assert 0 < np.average(rejected, weights=count) < others - 0.003


def test_a_difference_that_no_pair_shows_is_not_excluded():
    animals = np.repeat(range(8), SEEDS).tolist()
    found = paired([0.0] * 40, animals, yes_no=True).mean
    half = stats.t.ppf(0.975, 7) * (2 / SEEDS**2 / 7 / 8) ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx((0, -half, half))
    of_two = paired([0.0] * 40, animals, yes_no=2).mean  # an interaction: of two independent ones the variances add
    assert (of_two.low, of_two.high) == pytest.approx((-half * 2**0.5, half * 2**0.5))
    assert paired([0.0] * 40, animals).mean.high == 0  # as of costs, which may well be the same


def test_differences_of_outcomes_are_cut_at_what_is_possible():
    for count in (1, 2):
        found = paired([float(count)] * 20 + [0.0] * 20, np.repeat(range(8), SEEDS).tolist(), yes_no=count).mean
        assert (found.value, found.high) == (count / 2, pytest.approx(min(count, found.value * 2 - found.low)))
        assert paired([float(count)] * 4, range(4), yes_no=count).mean.high == count


def test_the_jackknife_of_a_mean_is_students_interval_and_that_of_a_ratio_covers():
    rng = np.random.default_rng(0)
    clusters = list(rng.normal(size=(9, 4)))
    want = mean([each.mean() for each in clusters])
    found = jackknife(clusters, lambda x: float(x.mean()))
    assert (found.value, found.low, found.high) == pytest.approx((want.value, want.low, want.high))
    studies = rng.gamma(4.0, size=(4000, 8, 2, 1)) * (1.0, 2.0) + rng.normal(0, 0.3, (4000, 8, 2, 2))
    ratios = [jackknife(list(each), lambda x: float(x[:, 1].sum() / x[:, 0].sum())) for each in studies]
    low, high = np.array([(e.low, e.high) for e in ratios]).T
    assert held(low, high, 2.0) == pytest.approx(0.95, abs=spread(4000))


def areas(clusters, alike, apart, studies):
    """Coverage of the area between two normal groups whose values are alike by cluster."""
    rng = np.random.default_rng(clusters)
    values = normal(rng, clusters, alike, studies)
    faulty = rng.random(values.shape) < 0.4
    data = (list(np.stack([v, f], 2)) for v, f in zip(values + apart * faulty, faulty, strict=True))
    found = [chance(each, lambda x: _area(x[:, 0], x[:, 1] > 0)) for each in data]
    low, high = np.array([(e.low, e.high) for e in found]).T
    return held(low, high, stats.norm.cdf(apart / 2**0.5))


def test_the_interval_of_an_area_covers():
    for apart in (0.0, 1.0, 2.0):
        assert 0.94 < areas(8, 0.4, apart, 1000) < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("clusters", CLUSTERS)
def test_the_interval_of_any_area_covers(clusters):
    """As the docstring says; the standard deviation is half a percent at most."""
    for alike in (0.0, 0.4, 0.8):
        for apart in (0.0, 1.0, 2.0):
            found = areas(clusters, alike, apart, 4000)
            assert 0.91 < found < 0.98, (alike, apart, found)


def test_an_area_has_a_width_where_nothing_is_on_the_wrong_side():
    apart = [np.array([[0.0, 0.0], [1.0, 1.0]])] * 8
    sure = chance(apart, lambda x: _area(x[:, 0], x[:, 1] > 0))
    assert (sure.value, sure.high) == (1, 1)
    assert sure.low == pytest.approx(8 / (8 + stats.t.ppf(0.975, 7) ** 2))
    alone = [np.array([[0.0, 0.0], [1.0, float(k == 0)]]) for k in range(8)]
    assert np.isnan(chance(alone, lambda x: _area(x[:, 0], x[:, 1] > 0)).low)


def _area(values, faulty):
    if faulty.all() or not faulty.any():
        return np.nan
    return float((values[faulty][:, None] > values[~faulty]).mean())
