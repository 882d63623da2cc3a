"""Means, intervals and paired differences are those of scipy on the numbers of the folders."""

import csv

import numpy as np
import pytest
from made_sweep import grid, run, sweep
from scipy import stats

from gsd.errors import GsdError
from gsd.results.groups import Group
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep.close import close
from gsd.tools.sweep.summary import _chosen, write

RANDOM, CONSISTENT = [20.0, 21.0, 22.5, 20.5], [21.0, 22.2, 23.9, 21.4]


def cells(text, metric):
    """Rows of the metric's table: noising -> the other cells."""
    section = next(part for part in text.split("\n## ") if part.startswith(f"{metric}\n"))
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    return {row[1]: row for row in rows[2:]}


def interval(values, sign=""):
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return f"{np.mean(values):{sign}.3g} [{low:{sign}.3g}, {high:{sign}.3g}]"


def test_numbers_are_scipys_and_pairs_are_by_seed(tmp_path):
    # The last seed of one has no partner
    folder = grid(tmp_path / "s", {"random": RANDOM, "consistent": CONSISTENT[:3]})
    files = write(folder)
    assert [file.name for file in files] == ["summary.csv", "summary.md", "report.html"]
    assert all(file.stat().st_size for file in files)
    text = files[1].read_text()
    assert text.startswith("# s\n\n7 runs: 7 done. Commit abc.")
    rows = cells(text, "psnr")
    assert list(rows) == ["random", "consistent"]  # in the order of the sweep, the first is the baseline
    assert rows["random"] == ["baseline", "random", "4", interval(RANDOM), ""]
    pairs = np.subtract(CONSISTENT[:3], RANDOM[:3])
    assert rows["consistent"] == ["", "consistent", "3", interval(CONSISTENT[:3]), interval(pairs, "+") + " *"]
    with files[0].open() as file:
        table = list(csv.DictReader(file))
    assert [float(r["psnr"]) for r in table if r["noising"] == "random"] == RANDOM
    assert {r["commit"] for r in table} == {"abc"}


def test_another_baseline(tmp_path):
    folder = grid(tmp_path / "s", {"random": RANDOM, "consistent": CONSISTENT})
    rows = cells(write(folder, "noising=consistent")[1].read_text(), "psnr")
    assert rows["consistent"][0] == "baseline"
    assert rows["random"][4] == interval(np.subtract(RANDOM, CONSISTENT), "+") + " *"
    with pytest.raises(GsdError, match=r"fits 0 groups, not one. They are: .*did you mean noising=consistent\?"):
        write(folder, "noising=consistant")


def test_a_baseline_that_is_a_label_is_that_group_whatever_else_it_fits():
    short, longer = Group("prompt=a fox", [0]), Group("prompt=a fox in the snow", [1])
    assert _chosen([longer, short], "prompt=a fox") is short
    assert _chosen([longer, short], "in the snow") is longer


def test_yes_or_no_has_wilsons_interval_and_mcnemars_test(tmp_path):
    folder = grid(tmp_path / "s", {"random": [1, 1, 1, 1, 1, 1, 0], "consistent": [0] * 7}, "janus")
    rows = cells(write(folder)[1].read_text(), "janus")
    low, high = stats.binomtest(6, 7).proportion_ci(method="wilson")
    assert rows["random"][3] == f"{6 / 7:.3g} [{low:.3g}, {high:.3g}]"
    assert rows["consistent"][4] == f"{-6 / 7:+.3g}, p {stats.binomtest(0, 6).pvalue:.2g} *"


def test_one_seed_has_no_interval(tmp_path):
    rows = cells(write(grid(tmp_path / "s", {"random": [20.0], "consistent": [21.0]}))[1].read_text(), "psnr")
    assert rows["random"][3] == "20"
    assert rows["consistent"][3:] == ["21", "+1"]


def test_what_is_damaged_or_failed_is_left_out_and_said(tmp_path, capsys):
    folder = grid(tmp_path / "s", {"random": RANDOM, "consistent": CONSISTENT})
    (folder / "random0/summary.json").write_text("{")
    run(folder / "broken", "consistent", 7, "FAILED")
    files = write(folder)
    assert "random0/summary.json cannot be read" in capsys.readouterr().err
    assert cells(files[1].read_text(), "psnr")["random"][2] == "3"
    assert "9 runs: 7 done, 1 failed, 1 damaged" in files[1].read_text()


def test_the_end_of_a_sweep_says_what_is_missing_and_how_to_go_on(tmp_path, capsys):
    folder = grid(tmp_path / "s", {"random": RANDOM})
    assert close(folder) == 0
    assert capsys.readouterr().out.endswith("s: 4 runs: 4 done.\n")
    jobs = {f"lost{k}": [f"seed={k}"] for k in range(30)}
    SweepFolder(folder).begin(sweep(jobs, ["other"]))
    assert close(folder) == 1
    out = capsys.readouterr().out
    assert out.count("pending  lost") == 20
    assert "... and 10 more: gsd sweep status" in out
    assert out.endswith("34 runs: 4 done, 30 pending. The same command runs what is missing.\n")


def test_what_an_earlier_sweep_left_is_not_the_fault_of_the_last(tmp_path, capsys):
    folder = grid(tmp_path / "s", {"random": RANDOM})
    done = SweepFolder(folder).sweeps[0]
    SweepFolder(folder).begin(sweep({"lost": ["seed=9"]}, ["earlier"]))
    SweepFolder(folder).begin(done)
    assert close(folder) == 0
    out = capsys.readouterr().out
    assert "pending  lost" in out
    assert out.endswith("5 runs: 4 done, 1 pending. What is missing was asked for by an earlier command.\n")


def test_nothing_done_is_nothing_to_sum_up(tmp_path, capsys):
    SweepFolder(tmp_path).begin(sweep({"a": ["seed=0"]}))
    assert close(tmp_path) == 1
    run(tmp_path / "a", "random", 0, "FAILED")
    with pytest.raises(GsdError, match="nothing to sum up"):
        write(tmp_path)
