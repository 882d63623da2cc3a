"""Ticks of a schedule: a commit is a result, and what has moved between two is found and marked."""

import json
import re

import numpy as np
import pytest
from forked import take_over
from launch import SMALL
from made_sweep import grid
from scipy import stats

from gsd.errors import GsdError
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep import tick as module
from gsd.tools.sweep.compare import compare, regression_table
from gsd.tools.sweep.tick import tick, ticks

BEFORE = [20.0, 21.0, 22.5, 20.5, 21.7]
GRID = ("noising=random", "loss=none", "seed='0,1,2'")
TRUTH = ("resolution=16", "variants=1", "azimuths=12")
NIGHTLY = (
    *(
        "experiment=nightly_ablation",
        *SMALL,
        "steps=2",
        "logger=files",
        "metric=truth",
        *(f"metric.truth.{each}" for each in TRUTH),
    ),
    *(f"hydra.sweeper.params.{each}" for each in GRID),
)


def test_what_moved_beyond_its_interval_is_marked_and_comes_first(tmp_path):
    shift = np.array([1.0, 1.1, 0.9, 1.05, 0.95])
    noise = np.array([0.4, -0.5, 0.3, -0.2, 0.1])
    old = grid(tmp_path / "old", {"random": BEFORE, "consistent": BEFORE})
    new = grid(tmp_path / "new", {"random": list(BEFORE + noise), "consistent": list(BEFORE + shift)})
    moves = compare(old, new)
    assert [(m.group, m.metric, m.moved) for m in moves] == [
        ("noising=consistent", "psnr", True),
        ("noising=consistent", "prior_calls", False),
        ("noising=random", "psnr", False),
        ("noising=random", "prior_calls", False),
    ]
    level = 1 - 0.05 / 4  # four numbers are looked at
    low, high = stats.t.interval(level, 4, shift.mean(), stats.sem(shift))
    assert (moves[0].difference.low, moves[0].difference.high) == pytest.approx((low, high))
    assert (moves[0].before, moves[0].after) == pytest.approx((np.mean(BEFORE), np.mean(BEFORE) + 1))
    text = regression_table(moves, "old", "new")
    assert "1 of 4 numbers have moved" in text
    assert text.count("| moved |") == 1


def test_equal_results_have_not_moved_and_a_difference_without_spread_has(tmp_path):
    old = grid(tmp_path / "old", {"random": BEFORE})
    assert not any(m.moved for m in compare(old, grid(tmp_path / "same", {"random": BEFORE})))
    shifted = grid(tmp_path / "shifted", {"random": [v + 0.25 for v in BEFORE]})
    assert [m.metric for m in compare(old, shifted) if m.moved] == ["psnr"]


def test_one_seed_cannot_tell(tmp_path):
    moves = compare(grid(tmp_path / "old", {"random": [20.0]}), grid(tmp_path / "new", {"random": [25.0]}))
    assert [m.moved for m in moves] == [False, False]


def test_groups_without_a_counterpart_are_left_out(tmp_path):
    old = grid(tmp_path / "old", {"random": BEFORE})
    new = grid(tmp_path / "new", {"random": BEFORE, "consistent": BEFORE})
    assert {m.group for m in compare(old, new)} == {"noising=random"}


def test_nights(tmp_path, monkeypatch, capfd):
    """Real sweeps. The code is said to have changed by its commit, and is made to by a setting."""

    def night(commit, *overrides, keep=None):
        monkeypatch.setattr(module, "commit", lambda: commit)
        monkeypatch.setattr(module.time, "strftime", lambda form: f"2026-01-{len(ticks(folder)) + 1:02}_020000")
        code = tick(folder, [*NIGHTLY, *overrides], keep)
        return code, [path.name for path in ticks(folder)], capfd.readouterr().out

    monkeypatch.chdir(tmp_path)
    take_over(monkeypatch)
    folder = tmp_path / "multirun/nightly_ablation"
    code, names, out = night("aaa")
    assert (code, names) == (0, ["2026-01-01_020000_aaa"])
    assert "3 runs: 3 done." in out
    code, names, out = night("aaa")  # nothing new
    assert (code, names) == (0, ["2026-01-01_020000_aaa"])
    assert "3 runs: 3 done; 0 to do." in out
    code, names, out = night("bbb")  # other code, equal results
    assert (code, names) == (0, ["2026-01-01_020000_aaa", "2026-01-02_020000_bbb"])
    assert re.search(r"\b0 of \d+ numbers have moved", out)
    code, names, out = night("bbb+", "representation.opacity=0.9", keep=2)  # a tree that is not clean is always new
    assert (code, names) == (2, ["2026-01-02_020000_bbb", "2026-01-03_020000_bbb+"])
    assert "| moved | all runs | psnr_aligned " in out
    assert "| moved |" in (folder / names[1] / "regression.md").read_text()
    (recorded,) = SweepFolder(folder / names[1]).sweeps
    assert recorded.commit
    two = ("hydra.sweeper.params.noising='random,consistent'", "hydra.sweeper.params.seed=0")
    code, names, out = night("ccc", *two, "guidance=ism")
    assert code == 1  # consistent noise is refused
    assert "2 runs: 1 done, 1 failed." in out


def test_only_what_a_tick_has_marked_is_removed(tmp_path, monkeypatch):
    """Neither folders that look like ticks, nor the newest one after the clock was set back."""
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: module.subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(module, "commit", lambda: "abc+")
    alike = ["2020-01-01_020000_abc", "2020-01-01_020000_my_notes", "2020-01-01", "1_2_3"]
    for name in alike:
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    (tmp_path / "2020-01-02_020000_abc").symlink_to(tmp_path / alike[0])
    for night in ("2026-03-04", "2026-03-05", "2026-03-02"):  # the third by a clock that was set back
        monkeypatch.setattr(module.time, "strftime", lambda form, night=night: f"{night}_020000")
        assert tick(tmp_path, ["experiment=x"], keep=2) == 0
    assert [path.name for path in ticks(tmp_path)] == [alike[0], "2026-03-05_020000_abc+", "2026-03-02_020000_abc+"]
    assert {*alike, "2020-01-02_020000_abc"} <= {path.name for path in tmp_path.iterdir()}
    for keep in (0, -1, -(10**30)):
        with pytest.raises(GsdError, match=f"--keep {keep}: at least 1"):
            tick(tmp_path, ["experiment=x"], keep)
    monkeypatch.setattr(module, "commit", lambda: "def+")
    assert tick(tmp_path, ["experiment=x"], keep=10**30) == 0
    assert len(ticks(tmp_path)) == 4


def test_a_tick_does_not_begin_beside_another(tmp_path):
    with SweepFolder(tmp_path).lock(), pytest.raises(GsdError, match="Another process"):
        tick(tmp_path, list(NIGHTLY))
    assert ticks(tmp_path) == []
    assert json.loads((tmp_path / ".lock").read_text())["pid"]
