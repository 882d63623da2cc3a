"""How often intervals of shares and of their differences hold the truth: exactly, without simulated studies.

Such an interval depends on the sum and the sum of squares of what the clusters have. Over independent clusters these
have the distribution of one cluster's, convolved with itself as often as there are clusters.
"""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from gsd.statistics.pairs import paired
from gsd.statistics.proportions import share

CLUSTERS, SEEDS = (6, 8, 12, 20), 5  # animals, and runs of each
ALIKE = (0.0, 0.1, 0.3, 0.5)  # intracluster correlations
LEAST = 1e-8  # probability of what is counted
COUNTS = np.arange(SEEDS + 1)  # of successes of a cluster
ONCE, TWICE = np.arange(-SEEDS, SEEDS + 1), np.arange(-2 * SEEDS, 2 * SEEDS + 1)  # sums of differences of a cluster


def covered(interval, values, chances, clusters, truth):
    """In percent; a cluster's sum is one of `values`, with these chances."""
    least = values.min()
    one = np.zeros((clusters * (values.max() - least) + 1, clusters * (values**2).max() + 1))
    one[values - least, values**2] = chances
    of_all = np.fft.irfft2(np.fft.rfft2(one) ** clusters, one.shape)
    total, squares = np.nonzero(of_all > LEAST)
    probable = of_all[total, squares]
    assert probable.sum() == pytest.approx(1, abs=1e-4)
    sums = zip((total + clusters * least).tolist(), squares.tolist(), strict=True)
    low, high = np.array([interval(*each, clusters) for each in sums]).T
    return 100 * probable[(low <= truth + 1e-12) & (truth <= high + 1e-12)].sum()


def clustered(total, squares, clusters):
    """Values and clusters with these sums: half of the clusters are as much above the mean as the others below."""
    mean = total / clusters
    apart = max(squares / clusters - mean**2, 0) ** 0.5
    values = np.repeat(np.tile([mean - apart, mean + apart], clusters // 2) / SEEDS, SEEDS)
    return values.tolist(), np.repeat(range(clusters), SEEDS).tolist()


@cache
def of_share(total, squares, clusters):
    found = share(*clustered(total, squares, clusters))
    return found.low, found.high


@cache
def student(total, squares, clusters):
    found = paired(*clustered(total, squares, clusters)).mean
    return found.low, found.high


@cache
def of_outcomes(total, squares, clusters):
    found = paired(*clustered(total, squares, clusters), yes_no=1).mean
    return found.low, found.high


@cache
def of_interaction(total, squares, clusters):
    found = paired(*clustered(total, squares, clusters), yes_no=2).mean
    return found.low, found.high


def successes(rate, alike, always):
    """Chances of COUNTS: beta-binomial or, with `always`, all or none in a share of the clusters."""
    if always:
        independent = (1 - alike) * stats.binom.pmf(COUNTS, SEEDS, rate)
        return independent + alike * np.where(COUNTS == 0, 1 - rate, np.where(COUNTS == SEEDS, rate, 0))
    if not alike:
        return stats.binom.pmf(COUNTS, SEEDS, rate)
    return stats.betabinom.pmf(COUNTS, SEEDS, rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1))


@pytest.mark.parametrize(
    ("rates", "ranges"),
    [
        ((0.3, 0.5), ((97.3, 99.3), (97.0, 99.0), (95.7, 97.4), (95.4, 96.4))),
        ((0.2,), ((98.6, 99.3), (98.0, 98.9), (98.2, 98.7), (94.4, 97.2))),
        ((0.02, 0.05, 0.1), ((98.1, 99.7), (97.5, 99.2), (97.1, 99.3), (96.9, 98.5))),
    ],
    ids=["wide", "some", "few"],
)
def test_the_interval_of_a_share_covers_as_its_table_says(rates, ranges):
    """The table of gsd.statistics.proportions."""
    for clusters, ends in zip(CLUSTERS, ranges, strict=True):
        cases = [(rate, alike, always) for rate in rates for alike in ALIKE for always in (False, True)]
        found = [covered(of_share, COUNTS, successes(*case), clusters, case[0]) for case in cases]
        assert (min(found), max(found)) == pytest.approx(ends, abs=0.06)


def test_students_interval_of_a_rare_outcome_covers_far_less():
    cases = [
        (clusters, successes(0.02, alike, always)) for clusters in CLUSTERS for alike in ALIKE for always in (0, 1)
    ]
    found = [covered(student, COUNTS, chances, clusters, 0.02) for clusters, chances in cases]
    assert (min(found), max(found)) == pytest.approx((24.1, 86.5), abs=0.06)


def differences(effect, luck, rates=(0.1, 0.8)):
    """[animals, 3]: of pairs the chances of -1, 0 and 1, where both runs share that much of their accidents.

    Animals succeed at rates that are spread evenly, and `effect` more often by the better method.
    """
    rate = np.linspace(*rates, 15)
    less = (1 - luck) * rate * (1 - rate - effect)
    more = luck * effect + (1 - luck) * (rate + effect) * (1 - rate)
    return np.stack([less, 1 - less - more, more], 1)


def summed(pairs):
    """Chances of a cluster's sum over SEEDS pairs: the mean over animals."""
    several = []
    for each in pairs:
        total = np.ones(1)
        for _ in range(SEEDS):
            total = np.convolve(total, each)
        several.append(total)
    return np.mean(several, 0)


def interacting(effect, luck):
    """As `differences`, of pairs with this effect less other pairs with none."""
    both = zip(differences(effect, luck), differences(0, luck), strict=True)
    return np.stack([np.convolve(one, other[::-1]) for one, other in both])


KINDS = {"difference": (of_outcomes, ONCE, differences), "interaction": (of_interaction, TWICE, interacting)}
EFFECTS, LUCK = (0.0, 0.01, 0.05, 0.1, 0.2), (0.5, 0.9, 0.99)
MISSED = (0.01, 0.99)  # an effect of which most studies of few animals have no pair, nor any other pair that differs


@pytest.mark.parametrize(
    ("kind", "clusters", "least", "plain"),
    [
        *(("difference", *row) for row in ((6, 98.2, 34.1), (8, 96.9, 42.7), (12, 96.6, 56.6), (20, 95.8, 74.6))),
        *(("interaction", *row) for row in ((6, 98.8, 41.3), (8, 97.8, 50.8), (12, 96.9, 65.5), (20, 96.0, 81.5))),
    ],
)
def test_the_interval_of_a_difference_of_outcomes_covers(kind, clusters, least, plain):
    """Effects that all animals share. `plain`: Student's interval, without the pairs that differ."""
    interval, values, drawn = KINDS[kind]
    found = [
        covered(interval, values, summed(drawn(effect, luck)), clusters, effect) for effect in EFFECTS for luck in LUCK
    ]
    assert (min(found), max(found)) == pytest.approx((least, 100), abs=0.06)
    assert covered(student, values, summed(drawn(*MISSED)), clusters, MISSED[0]) == pytest.approx(plain, abs=0.06)


@pytest.mark.parametrize(
    ("clusters", "ends"), [(6, (97.9, 100)), (8, (83.3, 100)), (12, (89.1, 96.5)), (20, (90.7, 95.7))]
)
def test_an_effect_that_one_animal_in_five_has_is_missed_more_often(clusters, ends):
    found = []
    for effect in (0.3, 0.5):
        for luck in LUCK:
            some, others = (summed(differences(each, luck, (0.1, 0.5))) for each in (effect, 0))
            found.append(covered(of_outcomes, ONCE, 0.2 * some + 0.8 * others, clusters, 0.2 * effect))
    assert (min(found), max(found)) == pytest.approx(ends, abs=0.06)
