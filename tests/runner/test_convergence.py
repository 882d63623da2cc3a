"""Measuring during a run: what is written, that it survives a crash, and that it changes nothing."""

import json
import time

import imageio.v2 as imageio
import pytest
import torch
from launch import LIGHT, SMALL, config, crash, launch, records

import gsd.runner.convergence
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import turntable
from gsd.identity import signature
from gsd.metric.truth import Truth
from gsd.results.measure import render_turntable
from gsd.results.runs import Run, calls_to_threshold
from gsd.runner.convergence import RESOLUTION, VIEWS
from gsd.types import Context

CLOCK = "seconds"
TEN = (*LIGHT, "steps=10", "evaluate_every=3")


def evaluations(folder):
    lines = (folder / "evaluations.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != CLOCK} for line in lines]


def test_a_line_and_a_picture_at_the_start_every_so_often_and_at_the_end(tmp_path):
    folder = launch(tmp_path / "run", *LIGHT, "steps=7", "evaluate_every=3", "metric=[truth,reprojection]")
    lines = evaluations(folder)
    assert [line["step"] for line in lines] == [0, 3, 6, 7]
    assert [line["prior_calls"] for line in lines] == [0, 6, 12, 14]
    assert "gradient_cosine" not in lines[0]
    assert all(-1 <= line["gradient_cosine"] <= 1 for line in lines[1:])
    assert all({"psnr_aligned", "chamfer", "photometric_error"} <= line.keys() for line in lines)
    assert sorted(p.stem for p in (folder / "frames").iterdir()) == ["000000", "000003", "000006", "000007"]
    assert imageio.imread(folder / "frames" / "000007.png").shape == (256, 256, 3)
    assert Run(folder).evaluations()[-1]["step"] == 7


def test_the_last_line_is_the_metric_of_the_scene_that_is_left(tmp_path):
    from gsd.results.scene import load

    folder = launch(tmp_path / "run", *SMALL, "steps=3", "evaluate_every=2")
    scene, _ = load(folder, 0, torch.device("cpu"))
    cameras = turntable(VIEWS, RESOLUTION)
    with torch.no_grad():
        show = render_turntable(scene, cameras)
    expected = Truth(Context(build(config()).prompt))(show, cameras, "")
    last = evaluations(folder)[-1]
    assert {key: last[key] for key in expected} == pytest.approx(expected, abs=1e-4)


def same_result(one, other):
    assert records(one) == records(other)
    assert (one / "scene.ply").read_bytes() == (other / "scene.ply").read_bytes()


@pytest.mark.parametrize("extra", [(), ("representation=instant_ngp", "noising=random")])
def test_a_watched_run_is_the_same_run(tmp_path, extra):
    watched = launch(tmp_path / "watched", *LIGHT, "steps=6", "evaluate_every=2", *extra)
    alone = launch(tmp_path / "alone", *LIGHT, "steps=6", *extra)
    assert records(watched) == records(alone)
    assert not (alone / "evaluations.jsonl").exists()
    assert not (alone / "frames").exists()
    one, other = (json.loads((f / "summary.json").read_text()) for f in (watched, alone))
    assert one["psnr_aligned"] == other["psnr_aligned"]
    if not extra:
        same_result(watched, alone)
    assert signature(config(*SMALL)) == signature(config(*SMALL, "evaluate_every=2"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("run") / "straight", *TEN)


@pytest.mark.parametrize("at", [1, 4, 7, 9])
def test_interrupted_and_continued_equals_undisturbed(straight, tmp_path, monkeypatch, at):
    """Checkpoints are at 4, 8 and 10 steps, evaluations at 0, 3, 6, 9 and 10; a crash may fall between any two."""
    mend = crash(monkeypatch, at)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "broken", *TEN)
    mend()
    broken = launch(tmp_path / "broken", *TEN)
    assert evaluations(broken) == evaluations(straight)
    same_result(broken, straight)


def test_a_crash_right_after_an_evaluation_or_a_checkpoint_costs_no_line(tmp_path, monkeypatch):
    """Evaluations and checkpoints fall on the same step here; the process dies between them, and after them."""
    from gsd.runner.recorder import Recorder

    options = (*LIGHT, "steps=8", "evaluate_every=4")
    straight = launch(tmp_path / "straight", *options)
    real = Recorder.checkpoint
    for moment in ("before", "after"):

        def checkpoint(self, moment=moment):
            if moment == "after":
                real(self)
            raise KeyboardInterrupt

        monkeypatch.setattr(Recorder, "checkpoint", checkpoint)
        with pytest.raises(KeyboardInterrupt):
            launch(tmp_path / moment, *options)
        monkeypatch.setattr(Recorder, "checkpoint", real)
        launch(tmp_path / moment, *options)
        assert evaluations(tmp_path / moment) == evaluations(straight)


def test_time_spent_evaluating_is_not_the_runs(tmp_path, monkeypatch):
    """On a clock that an evaluation puts forward by an hour."""
    real, clock, hours = gsd.runner.convergence.measure, time.perf_counter, iter(range(1, 9))

    def slow(*args):
        hour = next(hours)
        monkeypatch.setattr(time, "perf_counter", lambda: clock() + 3600 * hour)
        return real(*args)

    monkeypatch.setattr(gsd.runner.convergence, "measure", slow)
    folder = launch(tmp_path / "run", *SMALL, "steps=4", "evaluate_every=1", "metric=none")
    assert next(hours) == 6  # five evaluations have been
    assert len(evaluations(folder)) == 5
    assert json.loads((folder / "summary.json").read_text())["seconds"] < 3600


def test_of_particles_the_first_is_measured(tmp_path):
    whole = "representation.min_opacity=0"  # no Gaussian is removed after the last step
    folder = launch(tmp_path / "run", *LIGHT, "steps=4", "particles=2", "evaluate_every=1", whole)
    values = [line["psnr_aligned"] for line in evaluations(folder)]
    assert len(values) == 5
    assert values[1] == values[2] != values[0]  # the second step was the second scene's
    assert values[3] == values[4] != values[2]


def test_a_scene_that_is_not_finite_ends_with_the_recorders_sentence(tmp_path, monkeypatch):
    import gsd.prior.menagerie

    real, calls = gsd.prior.menagerie.Menagerie.denoise, iter(range(100))
    monkeypatch.setattr(
        gsd.prior.menagerie.Menagerie,
        "denoise",
        lambda *args: real(*args) * (torch.nan if next(calls) == 5 else 1.0),
    )
    with pytest.raises(GsdError, match="Step 5: score/gradient_rms is not finite"):
        launch(tmp_path / "run", *LIGHT, "steps=8", "evaluate_every=1")
    assert [line["step"] for line in evaluations(tmp_path / "run")] == [0, 1, 2, 3, 4, 5]


def test_wrong_values_are_refused():
    with pytest.raises(GsdError, match=r"evaluate_every=-1: .* equal to 0"):
        build(config(*SMALL, "evaluate_every=-1"))


@pytest.mark.parametrize(
    ("values", "calls"),
    [([10, 20, 30], 2), ([20, 20, 20], 0), ([10, 25, 15, 30], 6), ([25, 10], None), ([], None), ([1, 2], None)],
)
def test_calls_to_threshold_counts_what_stays(values, calls):
    lines = [{"prior_calls": 2 * k, "psnr_aligned": v, "chamfer": -v} for k, v in enumerate(values)]
    assert calls_to_threshold(lines, 20) == calls
    assert calls_to_threshold(lines, -20, "chamfer", larger_is_better=False) == calls
