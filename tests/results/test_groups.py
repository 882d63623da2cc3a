"""Groups of runs: who belongs together, means and shares with their intervals, what explains what."""

from itertools import product

import numpy as np
import pytest
from made_runs import CONFIG, CONSISTENT, make

from gsd.results.groups import estimates, groupings, importance, verdicts
from gsd.results.quantities import QUANTITIES
from gsd.results.table import read
from gsd.statistics.estimates import mean
from gsd.statistics.proportions import share

PSNR = {("random", 0): 20.0, ("random", 1): 22.0, ("random", 2): 21.0, ("consistent", 0): 25.0, ("consistent", 1): 27.0}


@pytest.fixture
def table(tmp_path):
    for (noising, seed), psnr in PSNR.items():
        config = {"seed": seed} | ({"noising": CONSISTENT} if noising == "consistent" else {})
        judged = {"psnr": psnr, "janus": float(seed == 1), "face_count": 1.0, "yaw_deg": 10.0 * seed}
        make(tmp_path / f"{noising}{seed}", config, judged)
    make(tmp_path / "failed", {"seed": 7}, status="FAILED")
    return read([tmp_path])


def test_groups_leave_the_seed_out(table):
    (by_settings,) = groupings(table)  # with one setting beside the seed there is nothing to pool
    assert [(g.label, [table.rows[k].settings["seed"] for k in g.members]) for g in by_settings.groups] == [
        ("noising=consistent", [0, 1]),
        ("noising=random", [0, 1, 2, 7]),
    ]


def test_means_and_shares_are_those_of_statistics(table):
    rows = [table.rows[k] for k in groupings(table)[0].groups[1].members]
    yes_no = verdicts(table)
    assert yes_no == {"janus"}  # a face_count that is 1 in every run is still a count
    found = estimates(rows, yes_no)
    want = mean([20.0, 22.0, 21.0])
    assert found["psnr"].count == 3  # the run that failed is none of them
    assert (found["psnr"].value, found["psnr"].low, found["psnr"].high) == pytest.approx(
        (want.value, want.low, want.high)
    )
    assert found["janus"] == share([0, 1, 0], range(3))
    two = estimates([table.rows[k] for k in groupings(table)[0].groups[0].members], yes_no)
    assert [(two[name].value, two[name].count) for name in ("psnr", "janus")] == [(26.0, 2), (0.5, 2)]
    assert np.isnan([two[name].low for name in two]).all()  # none is shown of two runs
    assert found["seconds"].value == 2.5
    assert "yaw_deg" not in found  # the mean of angles that a run chooses freely says nothing
    assert estimates([row for row in table.rows if row.status == "failed"], yes_no) == {}


def test_runs_of_one_prompt_are_no_further_prompts(tmp_path):
    """Thirty runs of three prompts that agree within each: as sure as three numbers, not as thirty."""
    for k, (prompt, seed) in enumerate(product(("a cat", "an owl", "a corgi"), range(10))):
        judged = {"psnr": 20.0 + k // 10 + seed / 100, "janus": float(prompt == "a corgi")}
        make(tmp_path / f"{k}", {"prompt": prompt, "seed": seed}, judged)
    found = estimates(read([tmp_path]).rows, frozenset({"janus"}))
    want = mean([20.045, 21.045, 22.045])
    assert (found["psnr"].low, found["psnr"].high, found["psnr"].count) == pytest.approx((want.low, want.high, 30))
    assert (found["janus"].value, found["janus"].count) == (pytest.approx(1 / 3), 30)
    three = share([0, 0, 1], range(3))
    assert found["janus"].low < three.low < three.high < found["janus"].high


def test_settings_are_pooled_one_at_a_time(tmp_path):
    for k, (prompt, noising, views) in enumerate(product(("a cat", "an owl"), (CONSISTENT, CONFIG["noising"]), (2, 3))):
        make(tmp_path / f"{k}", {"prompt": prompt, "noising": noising, "camera": CONFIG["camera"] | {"views": views}})
    made = groupings(read([tmp_path]))
    assert [(each.name, len(each.groups)) for each in made] == [
        ("all settings but the seed", 8),
        ("all settings but seed and prompt", 4),
        ("noising, the rest pooled", 2),
        ("camera.views, the rest pooled", 2),
        ("prompt, the rest pooled", 2),
    ]


def test_importance_is_epsilon_squared(table):
    shares = importance(table)
    # By hand: means 21 and 26 about 23, squares 34 in all and 4 within, one degree of freedom between, three within
    assert shares["psnr"]["noising"] == pytest.approx((34.0 - 4.0 - 4 / 3) / 34.0)
    assert shares["psnr"]["seed"] == 0.0
    assert "face_count" not in shares  # nothing varies
    assert "yaw_deg" not in shares


@pytest.mark.parametrize(("better", "low", "high"), [("psnr_aligned", 98.0, 100.0), ("view_error_deg", 0.0, 170.0)])
def test_no_interval_leaves_what_is_possible(better, low, high, tmp_path):
    for seed, value in enumerate((low, low, high)):
        make(tmp_path / f"{seed}", {"seed": seed}, {better: value})
    found = estimates(read([tmp_path]).rows, frozenset())[better]
    bounds = QUANTITIES[better]
    want = mean([low, low, high])
    assert want.low < bounds.low or want.high > bounds.high
    assert (found.low, found.high) == pytest.approx((max(want.low, bounds.low), min(want.high, bounds.high)))
