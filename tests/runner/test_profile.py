import json
import time

import pytest
import torch
from launch import LIGHT, launch, records

from gsd.results.folder import RunFolder
from gsd.runner.profile import STAGES, Profile


@pytest.fixture
def profile(tmp_path):
    profile = Profile(torch.device("cpu"), RunFolder(tmp_path))
    profile.begin(0)
    return profile


def test_time_is_booked_on_the_stage_that_ends(profile):
    began = time.perf_counter()
    profile.begin(0)
    for _ in range(3):
        profile.lap("camera")
        time.sleep(0.03)
        profile.lap("render")
    elapsed = time.perf_counter() - began
    booked = sum(map(sum, profile.stopwatch.seconds.values()))
    assert booked == pytest.approx(elapsed, rel=0.2)
    summary = profile.stopwatch.summary()
    assert summary.keys() == {"camera", "render"}
    assert summary["render"]["median_ms"] >= 30
    assert summary["render"]["share"] > 0.9
    assert sum(row["share"] for row in summary.values()) == pytest.approx(1)


def test_the_first_step_is_told_apart(profile):
    for pause in (0.05, 0.0, 0.0):
        time.sleep(pause)
        profile.lap("render")
    row = profile.stopwatch.summary()["render"]
    assert row["first_ms"] >= 50 > row["median_ms"]


def test_a_profiled_run_says_where_its_time_went_and_ends_where_any_other_ends(tmp_path, capsys):
    plain = launch(tmp_path / "plain", *LIGHT, "steps=4")
    assert not (plain / "profile.json").exists()
    capsys.readouterr()
    watched = launch(tmp_path / "watched", *LIGHT, "steps=4", "profile=true")
    shown = capsys.readouterr().out
    summary = json.loads((watched / "profile.json").read_text())
    assert list(summary) == list(STAGES)
    for stage in STAGES:
        assert stage in shown
    assert sum(row["share"] for row in summary.values()) == pytest.approx(1)
    assert records(plain) == records(watched)
