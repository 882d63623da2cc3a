"""The best group, and differences to it by pairs that share all that the grouping pools."""

import math

import pytest
from made_runs import CONSISTENT, LOSS, make

from gsd.results.best import comparison
from gsd.results.groups import groupings
from gsd.results.table import read
from gsd.statistics.estimates import mean


def table(folder, **metric):
    """Two noisings, two losses, two seeds; the first noising is better by 1, 2, 3 and 4."""
    (name, sign) = next(iter(metric.items()))
    for k, (loss, seed) in enumerate((loss, seed) for loss in ({}, LOSS) for seed in (0, 1)):
        common = {"loss": loss, "seed": seed}
        make(folder / f"a{k}", common | {"noising": CONSISTENT}, {name: 20.0 + 5 * seed})
        make(folder / f"b{k}", common, {name: 20.0 + 5 * seed - sign * (k + 1)})
    return read([folder])


@pytest.mark.parametrize(("name", "sign"), [("psnr_aligned", 1), ("view_error_deg", -1)])
def test_pairs_share_what_is_pooled(name, sign, tmp_path):
    runs = table(tmp_path, **{name: sign})
    grouping = next(each for each in groupings(runs) if each.keys == ["noising"])
    found = comparison(runs, grouping, name)
    labels = [group.label for group in grouping.groups]
    assert labels[found.best] == "noising=consistent"
    want = mean([-sign * k for k in (1, 2, 3, 4)])
    other = found.differences[1 - found.best]
    assert (other.value, other.low, other.high, other.count) == pytest.approx((want.value, want.low, want.high, 4))


def test_two_pairs_have_no_interval_and_a_number_without_a_direction_no_best(tmp_path):
    runs = table(tmp_path, psnr_aligned=1)
    by_all = groupings(runs)[0]
    found = comparison(runs, by_all, "psnr_aligned")
    assert all(math.isnan(each.low) for each in found.differences)
    assert comparison(runs, by_all, "own") is None
