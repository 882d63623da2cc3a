"""Table 1 from two sets of runs to the figure, with simulated raters, who are never taken for people."""

import json
import sys

import pytest
from launch import ROOT, launch
from quick_config import SMALLEST

from gsd.tools.study.study import load


@pytest.fixture
def table1(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "figures"))
    import table1

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["table1", *map(str, arguments)])
        table1.main()

    return run


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("table1")
    for seed in range(3):
        for name, noising in (("a", "random"), ("b", "consistent")):
            launch(root / name / str(seed), *SMALLEST, "metric=none", f"noising={noising}", f"seed={seed}")
    return [root / "a", root / "b"]


def test_the_whole_chain_with_simulated_raters(table1, sets, tmp_path, capsys):
    out = tmp_path / "table1"
    table1(*sets, "--out", out, "--simulate", 0.9, "--raters", 12)
    said = capsys.readouterr().out
    assert said.startswith("# User study: Baseline + GSD (ours) against Baseline")
    for name in ("table.md", "figure.png", "figure.pdf", "votes.csv"):
        assert (out / name).stat().st_size > 500
    result = json.loads((out / "result.json").read_text())
    assert result["raters"] == 12
    assert result["questions"]["geometry"]["raters"]["value"] > 0.6  # expected .9 of 36 votes
    assert result["simulated"].startswith("12 raters made up by a program")
    assert "SIMULATED RATERS, no people" in (out / "table.md").read_text()
    assert all(line.endswith(",True") for line in (out / "votes.csv").read_text().splitlines()[1:])
    table1("--out", out)
    assert "SIMULATED RATERS" in capsys.readouterr().out


def test_a_study_for_people_is_made_and_waits_for_them(table1, sets, tmp_path, capsys):
    out = tmp_path / "table1"
    table1(*sets, "--out", out)
    assert f"{out} is ready: gsd study serve {out}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is for people; --simulate makes a study of its own"):
        table1("--out", out, "--simulate", 0.6)
    with pytest.raises(SystemExit, match="File exists"):
        table1(*sets, "--out", out)


def test_probabilities_are_checked(table1, sets, tmp_path):
    with pytest.raises(SystemExit, match="between 0 and 1"):
        table1(*sets, "--out", tmp_path / "x", "--simulate", 1.5)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_the_papers_baselines_are_run_and_compared(table1, tmp_path, monkeypatch, capsys):
    """Two prompts, two baselines, with and without GSD: eight runs, four pairs."""
    monkeypatch.chdir(tmp_path)
    command = ["--simulate", 0.8, "--raters", 6, "--run", "steps=2", "prompt=an owl,a corgi"]
    table1("--out", "first", *command)
    runs = {file: file.stat().st_mtime_ns for file in tmp_path.glob("multirun/table1/*/DONE")}
    assert len(runs) == 8
    study = load(tmp_path / "first")
    assert [pair.prompt for pair in study.pairs] == ["a corgi", "an owl"] * 2
    assert {run for pair in study.pairs for run in pair.runs.values()} == {
        str(file.parent.relative_to(tmp_path)) for file in runs
    }
    table1("--out", "second", *command)  # nothing is run again
    assert runs == {file: file.stat().st_mtime_ns for file in tmp_path.glob("multirun/table1/*/DONE")}
    assert "6 raters, 24 votes per question" in (tmp_path / "second" / "table.md").read_text()


def test_either_sets_or_runs(table1, sets, tmp_path):
    with pytest.raises(SystemExit, match="give either it or A and B"):
        table1(*sets, "--run", "--out", tmp_path / "x")
