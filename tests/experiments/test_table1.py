"""Table 1 from two sets of runs to the figure, with simulated raters, who are never taken for people."""

import json
import sys

import pytest
from launch import ROOT, SMALL, launch


@pytest.fixture
def table1(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
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
            launch(root / name / str(seed), *SMALL, "steps=1", "metric=none", f"noising={noising}", f"seed={seed}")
    return [root / "a", root / "b"]


def test_the_whole_chain_with_simulated_raters(table1, sets, tmp_path, capsys):
    out = tmp_path / "table1"
    table1(*sets, "--out", out, "--simulate", 0.9, "--raters", 12)
    said = capsys.readouterr().out
    assert "12 simulated raters at the same time: 72 trials" in said
    for name in ("table.md", "figure.png", "figure.pdf", "votes.csv"):
        assert (out / name).stat().st_size > 500
    result = json.loads((out / "result.json").read_text())
    assert result["raters"] == 12
    assert result["questions"]["geometry"]["by_rater"]["value"] > 0.6  # expected .9 of 36 votes
    assert result["simulated"].startswith("12 raters made up by a program")
    assert "SIMULATED RATERS, no people" in (out / "table.md").read_text()
    assert (out / "votes.csv").read_text().splitlines()[0].endswith(",simulated")
    table1("--out", out)
    assert "SIMULATED RATERS" in capsys.readouterr().out


def test_a_study_for_people_is_made_and_waits_for_them(table1, sets, tmp_path, capsys):
    out = tmp_path / "table1"
    table1(*sets, "--out", out)
    assert f"{out} is ready: python -m gsd.study serve {out}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is for people; --simulate makes a study of its own"):
        table1("--out", out, "--simulate", 0.6)
    with pytest.raises(SystemExit, match="exists"):
        table1(*sets, "--out", out)


def test_probabilities_are_checked(table1, sets, tmp_path):
    with pytest.raises(SystemExit, match="between 0 and 1"):
        table1(*sets, "--out", tmp_path / "x", "--simulate", 1.5)
    assert not (tmp_path / "x").exists()
