"""Intervals hold the truth, and tests reject it, as often as they say: simulated studies with fixed seeds."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from gsd.statistics.estimates import averaged, band, mean
from gsd.statistics.jackknife import chance, jackknife
from gsd.statistics.pairs import flipped, paired
from gsd.statistics.proportions import share

CLUSTERS, SEEDS = (6, 8, 12, 20), 5  # animals, and runs of each
RATES, ALIKE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5), (0.0, 0.1, 0.3, 0.5)  # of success; intracluster correlations
STUDIES = 2000  # per setting: the standard deviation of a coverage of .95 is .005
SPREAD = 3.5 * (0.95 * 0.05 / STUDIES) ** 0.5  # of the worst of a hundred such settings, .017


def held(low, high, truth):
    return np.mean((low <= truth + 1e-12) & (truth <= high + 1e-12))


def normal(rng, clusters, alike, studies=STUDIES):
    """Values [studies, clusters, SEEDS] of mean 0 and variance 1."""
    animals = rng.normal(size=(studies, clusters, 1))
    return alike**0.5 * animals + (1 - alike) ** 0.5 * rng.normal(size=(studies, clusters, SEEDS))


def successes(rng, clusters, rate, alike, always=False, studies=STUDIES):
    """Successes of each cluster, of SEEDS: beta-binomial or, with `always`, all or none in a share of the clusters."""
    own = np.full((studies, clusters), rate)
    if always:
        own = np.where(rng.random(own.shape) < alike, rng.random(own.shape) < rate, own)
    elif alike:
        own = rng.beta(rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1), own.shape)
    return rng.binomial(SEEDS, own)


def shares(counts, **options):
    """Lows and highs of `share` in every study; studies with the same counts have the same."""
    different, which = np.unique(np.sort(counts, 1), axis=0, return_inverse=True)
    animals = np.repeat(np.arange(counts.shape[1]), SEEDS).tolist()
    outcomes = (np.arange(SEEDS) < different[..., None]).reshape(len(different), -1)
    found = [share(each.tolist(), animals, **options) for each in outcomes]
    return np.array([(e.low, e.high) for e in found])[which.ravel()].T


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_students_interval_covers_however_alike_the_runs_of_an_animal_are(clusters):
    rng = np.random.default_rng(clusters)
    for alike in (0.0, 0.3, 0.9):
        _, low, high = band(normal(rng, clusters, alike).mean(2).T)
        assert held(low, high, 0.0) == pytest.approx(0.95, abs=SPREAD)


def test_students_interval_is_a_mixed_models_where_the_design_is_balanced():
    """The standard error of a random-effects model's intercept, by statsmodels; its own interval is the normal one."""
    values = normal(np.random.default_rng(1), 8, 0.5, 1)[0]
    animals = np.repeat(range(8), SEEDS)
    model = sm.MixedLM(values.ravel(), np.ones(values.size), animals).fit()
    found = mean(averaged(values.reshape(-1, 1), animals.tolist()).ravel().tolist())
    assert found.value == pytest.approx(model.params[0])
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 7) * model.bse[0], rel=1e-3)


@pytest.mark.parametrize("always", [False, True], ids=["beta-binomial", "all or none"])
@pytest.mark.parametrize("clusters", CLUSTERS)
def test_the_interval_of_a_share_covers(clusters, always):
    """As the docstring of gsd.statistics.proportions says: never short, 93-98 % where many values are possible."""
    rng = np.random.default_rng(clusters)
    for rate in RATES:
        for alike in ALIKE:
            found = held(*shares(successes(rng, clusters, rate, alike, always, 500)), rate)
            spread = 3.5 * (0.95 * 0.05 / 500) ** 0.5
            assert found > 0.95 - spread, (rate, alike)
            if clusters >= 12 and rate >= 0.3:
                assert found < 0.965 + spread, (rate, alike)


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
    counts = successes(np.random.default_rng(0), 200, 0.5, 0.3, studies=1)[0]
    outcomes = (np.arange(SEEDS) < counts[:, None]).astype(float).ravel()
    animals = np.repeat(range(200), SEEDS)
    gee = sm.GEE(outcomes, np.ones_like(outcomes), groups=animals, family=sm.families.Binomial()).fit()
    found = share(outcomes.tolist(), animals.tolist())
    assert (found.low, found.high) == pytest.approx(1 / (1 + np.exp(-gee.conf_int()[0])), abs=0.002)


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_flips_of_animals_reject_what_holds_in_at_most_5_percent_and_flips_of_pairs_in_far_more(clusters):
    """The truth: no mean effect, but effects that vary by animal (correlation .3)."""
    values = normal(np.random.default_rng(clusters), clusters, 0.3)
    by_animal = np.mean([flipped(each.mean(1).tolist()) < 0.05 for each in values])
    least = 2 / 64 if clusters == 6 else 0.04
    assert least - SPREAD < by_animal < 0.05 + SPREAD
    assert np.mean(stats.ttest_1samp(values.reshape(STUDIES, -1), 0, axis=1).pvalue < 0.05) > 0.15


def test_flips_of_differences_of_outcomes_are_conservative():
    rng = np.random.default_rng(0)
    for clusters in (6, 8, 12):
        a, b = (successes(rng, clusters, 0.3, 0.0, studies=500) for _ in range(2))
        assert np.mean([flipped(each.tolist()) < 0.05 for each in a - b]) < 0.05


@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("better", [0.0, 0.1])
def test_the_interval_of_a_difference_of_outcomes_covers(clusters, better):
    """Of runs that share nine in ten accidents, as pairs do, at rates that vary by animal."""
    rng, studies = np.random.default_rng(clusters), 500
    own = rng.uniform(0.1, 0.8, (studies, clusters, 1))
    luck = rng.random((studies, clusters, SEEDS))
    other = np.where(rng.random(luck.shape) < 0.9, luck, rng.random(luck.shape))
    differences = ((other < own + better).astype(float) - (luck < own)).reshape(studies, -1)
    animals = np.repeat(range(clusters), SEEDS).tolist()
    found = [paired(each.tolist(), animals, yes_no=True).mean for each in differences]
    low, high = np.array([(e.low, e.high) for e in found]).T
    assert held(low, high, better) > 0.95 - 3.5 * (0.95 * 0.05 / studies) ** 0.5


def test_a_difference_that_no_pair_shows_is_not_excluded():
    animals = np.repeat(range(8), SEEDS).tolist()
    found = paired([0.0] * 40, animals, yes_no=True).mean
    half = stats.t.ppf(0.975, 7) * (2 / SEEDS**2 / 7 / 8) ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx((0, -half, half))
    assert paired([0.0] * 40, animals).mean.high == 0  # as of costs, which may well be the same


def test_the_jackknife_of_a_mean_is_students_interval_and_that_of_a_ratio_covers():
    rng = np.random.default_rng(0)
    clusters = list(rng.normal(size=(9, 4)))
    want = mean([each.mean() for each in clusters])
    found = jackknife(clusters, lambda x: float(x.mean()))
    assert (found.value, found.low, found.high) == pytest.approx((want.value, want.low, want.high))
    studies = rng.gamma(4.0, size=(1000, 8, 2, 1)) * (1.0, 2.0) + rng.normal(0, 0.3, (1000, 8, 2, 2))
    ratios = [jackknife(list(each), lambda x: float(x[:, 1].sum() / x[:, 0].sum())) for each in studies]
    low, high = np.array([(e.low, e.high) for e in ratios]).T
    assert held(low, high, 2.0) == pytest.approx(0.95, abs=0.025)


def test_the_interval_of_an_area_covers_and_has_a_width_where_nothing_is_on_the_wrong_side():
    """Areas of two normal groups whose values are alike by cluster, where redrawing clusters covers 80 to 90 %."""
    rng, studies = np.random.default_rng(0), 300
    for apart in (0.0, 1.0):
        truth = stats.norm.cdf(apart / 2**0.5)
        values = normal(rng, 8, 0.4, studies)
        faulty = rng.random(values.shape) < 0.4
        found = [
            chance(list(np.stack([v, f], 2)), lambda x: _area(x[:, 0], x[:, 1] > 0))
            for v, f in zip(values + apart * faulty, faulty, strict=True)
        ]
        low, high = np.array([(e.low, e.high) for e in found]).T
        assert held(low, high, truth) > 0.92
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
