"""Where the runs of a sweep stand is read off their folders."""

import json
import os
import tracemalloc

import pytest
from made_sweep import run, sweep

from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.results.sweep_folder import SweepFolder, count, table


def states(folder):
    return {row.name: row.state for row in SweepFolder(folder).rows()}


def test_every_state_with_its_reason_and_steps(tmp_path):
    names = ("done", "failed", "running", "left", "missing", "cut")
    folder = SweepFolder(tmp_path)
    folder.begin(sweep({name: [f"seed={k}"] for k, name in enumerate(names)}))
    run(tmp_path / "done", "random", 0)
    run(tmp_path / "failed", "random", 1, "FAILED")
    (tmp_path / "failed/FAILED").write_text("Traceback\n  File x\nValueError: no good\n\n")
    run(tmp_path / "running", "random", 2, "")
    run(tmp_path / "left", "random", 3, "")
    (run(tmp_path / "cut", "random", 5) / "summary.json").write_text('{"seed":')
    (run(tmp_path / "asked for by nobody", "consistent", 9, "") / "metrics.jsonl").write_text('{"step": 4}\n{"st')
    with RunFolder(tmp_path / "running").lock():
        rows = {row.name: row for row in folder.rows()}
    assert {name: row.state for name, row in rows.items()} == {
        "failed": "failed", "cut": "damaged", "running": "running", "left": "pending", "missing": "pending",
        "asked for by nobody": "pending", "done": "done",
    }  # fmt: skip
    assert [row.state for row in rows.values()][:2] == ["failed", "damaged"]  # what needs attention comes first
    assert rows["failed"].note == "ValueError: no good"
    assert "summary.json cannot be read" in rows["cut"].note
    assert f"pid {os.getpid()} on" in rows["running"].note
    steps = {name: (row.step, row.steps) for name, row in rows.items()}
    assert steps["done"] == (10, 10)
    assert steps["failed"] == steps["running"] == steps["left"] == (6, 10)
    assert steps["missing"] == (0, 10)
    assert steps["asked for by nobody"] == (5, None)
    assert rows["missing"].overrides == ["seed=4"]
    assert count(rows.values()) == "7 runs: 1 done, 1 failed, 1 damaged, 1 running, 3 pending"
    lines = table(list(rows.values())).splitlines()
    assert lines[1].split() == ["failed", "failed", "6/10", "seed=1", "ValueError:", "no", "good"]
    assert {line.index("seed=") for line in lines if "seed=" in line} == {lines[0].index("settings")}


def test_looking_at_a_lock_does_not_get_in_the_way_of_who_takes_it(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.holder is None
    with folder.lock():
        holder = folder.holder
        assert (holder.pid, holder.job) == (os.getpid(), None)
        with pytest.raises(GsdError, match=rf"pid {os.getpid()} on .* is running in"), folder.lock():
            pass
        assert folder.holder == holder  # the one that was refused has not written over it
    assert folder.holder is None


def test_a_second_sweep_is_refused_while_the_first_runs(tmp_path):
    with SweepFolder(tmp_path).lock(), pytest.raises(GsdError, match="change name="), SweepFolder(tmp_path).lock():
        pass


def test_sweeps_into_one_folder_are_kept_side_by_side_and_the_same_one_once(tmp_path):
    folder = SweepFolder(tmp_path)
    assert folder.sweeps == []
    first, second = sweep({"a": ["seed=0"]}, ["seed=0"]), sweep({"b": ["seed=1"]}, ["seed=1"])
    assert folder.begin(first) == folder.begin(second) == folder.begin(first) == []
    assert folder.sweeps == [second, first]
    assert states(tmp_path) == {"a": "pending", "b": "pending"}


def test_a_changed_config_is_said(tmp_path):
    folder = SweepFolder(tmp_path)
    folder.begin(sweep({"a": ["seed=0"], "b": ["seed=1"]}))
    (sentence,) = folder.begin(sweep({"a": ["seed=0"], "c": ["seed=1"]}))
    assert "has changed since 2026-01-01T00:00:00 (commit abc): 1 of 2 runs have a new signature" in sentence
    assert states(tmp_path) == {"a": "pending", "c": "pending"}


def test_damage_and_absence_are_said(tmp_path):
    with pytest.raises(GsdError, match="does not exist"):
        SweepFolder(tmp_path / "nowhere").rows()
    with pytest.raises(GsdError, match="holds no run"):
        SweepFolder(tmp_path).rows()
    for content in ("[{", "[1]", '{"a": 1}', '[{"command": []}]'):
        (tmp_path / "sweep.json").write_text(content)
        with pytest.raises(GsdError, match=r"sweep.json (cannot be read|is damaged): .* Delete it: the runs stay"):
            SweepFolder(tmp_path).rows()


def test_the_work_of_a_look_grows_with_the_runs_alone(tmp_path, monkeypatch):
    """Of 500 runs, each summary is read once and no config; 5,000 runs may take 500 MB."""
    jobs = {f"{k:08x}": ["noising=random", f"seed={k}"] for k in range(500)}
    SweepFolder(tmp_path).begin(sweep(jobs))
    for k, name in enumerate(jobs):
        run(tmp_path / name, "random", k, "DONE" if k < 400 else "", psnr=20.0)
    read = []
    real = json.loads
    monkeypatch.setattr(
        "gsd.results.runs.read_json", lambda file, kind: (read.append(file.name), real(file.read_text()))[1]
    )
    tracemalloc.start()
    rows = SweepFolder(tmp_path).rows()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count(rows) == "500 runs: 400 done, 100 pending"
    assert read == ["summary.json"] * 400
    assert peak < 10e6, peak
    print(peak)
