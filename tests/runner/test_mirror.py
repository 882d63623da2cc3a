"""What trackers are told of a run, whatever becomes of it, and that none can do it harm."""

import json
import os
import signal

import imageio.v2 as imageio
import numpy as np
import pytest
from launch import LIGHT, SMALL, config, crash, launch, records, same
from plyfile import PlyData
from trackers import Faulty, Recorded, history

import gsd.loop
from gsd.errors import GsdError
from gsd.identity import signature
from gsd.runner.mirror import SOLID, cloud
from gsd.runner.recorder import BINS

RECORDED = "+logger.recorded={_target_: trackers.Recorded}"


@pytest.fixture(autouse=True)
def _clear():
    Recorded.clear()
    Faulty.calls.clear()


def told():
    return [row.values for row in Recorded.rows]


def test_every_line_and_picture_is_told_once_and_in_order(tmp_path):
    options = (*LIGHT, "steps=10", "images_every=4", "evaluate_every=3")
    folder = launch(tmp_path / "run", *options, RECORDED)
    assert told() == history(folder)
    assert [row.number for row in Recorded.rows] == list(range(10 + 5))
    pictures = {(name, row.values["step"]): path for row in Recorded.rows for name, path in row.pictures.items()}
    strips = {("pictures/strip", step): folder / f"strips/{step:06d}.png" for step in (0, 4, 8, 9)}
    fronts = {("pictures/front", step): folder / f"frames/{step:06d}.png" for step in (0, 3, 6, 9, 10)}
    assert pictures == strips | fronts
    assert all(imageio.imread(path).ndim == 3 for path in pictures.values())


def test_the_histogram_is_that_of_the_steps_noise(tmp_path, monkeypatch):
    noises = {}
    real = gsd.loop.take_step

    def take_step(experiment, step, lap):
        state = real(experiment, step, lap)
        noises[step] = state.noise.numpy()
        return state

    monkeypatch.setattr(gsd.loop, "take_step", take_step)
    launch(tmp_path / "run", *LIGHT, "steps=5", "images_every=2", RECORDED)
    shown = {row.values["step"]: row.histograms["noise/histogram"] for row in Recorded.rows if row.histograms}
    assert sorted(shown) == [0, 2, 4]
    for step, (counts, edges) in shown.items():
        assert len(edges) == BINS + 1
        assert np.array_equal(counts, np.histogram(noises[step], edges)[0])
        assert counts.sum() == noises[step].size


@pytest.mark.parametrize("at", [1, 5, 7, 9])
def test_a_run_that_crashes_and_goes_on_is_told_once(tmp_path, monkeypatch, at):
    """Checkpoints are at 4, 8 and 10 steps: what lies beyond one is done again, and told then."""
    options = (*LIGHT, "steps=10", "evaluate_every=3", RECORDED)
    mend = crash(monkeypatch, at)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "run", *options)
    assert len([row for row in told() if "sigma" in row]) == at // 4 * 4
    mend()
    folder = launch(tmp_path / "run", *options)
    assert told() == history(folder)
    assert Recorded.left == [RuntimeError, None]
    assert len(Recorded.results) == 1


def test_a_run_that_ends_while_it_finishes_is_told_whole(tmp_path):
    """No further checkpoint comes then."""
    folder = launch(tmp_path / "run", *LIGHT, "steps=4")
    (folder / "DONE").unlink()
    launch(folder, *LIGHT, "steps=4", RECORDED)
    assert told() == history(folder)
    assert Recorded.results[0].number == 4


def test_a_signal_tells_all_up_to_its_checkpoint(tmp_path, monkeypatch):
    options = (*LIGHT, "steps=10", RECORDED)
    mend = crash(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        launch(tmp_path / "run", *options)
    assert [row["step"] for row in told()] == [0, 1, 2, 3, 4, 5]
    assert Recorded.left == [SystemExit]
    mend()
    folder = launch(tmp_path / "run", *options)
    assert told() == history(folder)


def test_a_failed_run_is_left_by_its_error(tmp_path, monkeypatch):
    import gsd.noising.consistent

    real = gsd.noising.consistent.Consistent.__call__
    monkeypatch.setattr(gsd.noising.consistent.Consistent, "__call__", lambda *args: real(*args) * float("nan"))
    with pytest.raises(GsdError, match="not finite"):
        launch(tmp_path / "run", *LIGHT, "steps=4", RECORDED)
    assert Recorded.left == [GsdError]
    assert not Recorded.rows


@pytest.mark.parametrize("at", ["enter", "log", "finish", "leave"])
def test_a_tracker_that_raises_is_left_alone_and_the_run_is_done(tmp_path, capsys, at):
    faulty = f"+logger.faulty={{_target_: trackers.Faulty, at: {at}}}"
    folder = launch(tmp_path / "run", *LIGHT, "steps=10", faulty, RECORDED)
    assert (folder / "DONE").exists()
    assert not (folder / "FAILED").exists()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "logger=" in line]
    assert line.startswith(f"logger=faulty has failed (ValueError: no {at} today) and is left alone")
    assert str(folder) in line
    # Nothing after its fault but, at most, to leave it
    whole = ["enter", "log", "log", "log", "finish", "leave"]
    assert Faulty.calls == whole[: whole.index(at) + 1]
    assert told() == history(folder)  # the other tracker has not noticed
    assert len(Recorded.results) == 1


def test_a_damaged_sweep_beside_the_run_is_the_trackers_loss_alone(tmp_path, capsys):
    (tmp_path / "sweep.json").write_text("nonsense")
    folder = launch(tmp_path / "run", *LIGHT, "steps=2", RECORDED, "hydra.mode=MULTIRUN")
    assert (folder / "DONE").exists()
    assert "logger=recorded has failed (GsdError: " in capsys.readouterr().err


def test_a_tracked_run_is_the_same_run_in_the_same_folder(tmp_path):
    slow = "+logger.recorded={_target_: trackers.Recorded, delay: 1}"
    tracked = launch(tmp_path / "tracked", *LIGHT, "steps=8", "images_every=3", slow)
    alone = launch(tmp_path / "alone", *LIGHT, "steps=8", "images_every=3")
    same(tracked, alone)
    assert records(tracked) == records(alone)
    assert signature(config(*SMALL, RECORDED)) == signature(config(*SMALL))
    # Two checkpoints of a second each are not the run's time, which is some milliseconds a step
    assert json.loads((tracked / "summary.json").read_text())["seconds"] < 2


def test_what_a_run_is_filed_under(tmp_path):
    options = ("experiment=sds", "loss=[opaque,tv]", "seed=3", "name=x", "prior.view_bias=4", "evaluate_every=0")
    folder = launch(tmp_path / "sweep/run", *SMALL, "steps=2", *options, RECORDED)
    (run,) = Recorded.runs
    assert run.id == signature(config(*SMALL, "steps=2", *options))
    assert (run.group, run.job, run.folder) == (None, "sds", folder)
    assert run.name.split(" ") == [
        *(o for o in SMALL if o.split("=")[0] not in ("threads", "checkpoint_every", "images_every")),
        *("steps=2", "experiment=sds", "loss=[opaque,tv]", "seed=3", "prior.view_bias=4"),
    ]
    assert run.tags[0] == "sds"
    assert run.config["loss"] == "opaque,tv"
    assert run.config["noising"] == "random"
    assert run.config["scale"] == "none"
    assert "logger" not in run.config
    assert (run.config["prompt"], run.config["seed"], run.config["steps"]) == ("a full body of a cat with a hat", 3, 2)
    assert run.config["config"]["prior"]["view_bias"] == 4


def test_what_is_left_of_particles_is_the_first_ones(tmp_path):
    folder = launch(tmp_path / "run", *LIGHT, "steps=4", "particles=2", "metric=[truth,clip_view]", RECORDED)
    (results,) = Recorded.results
    summary = json.loads((folder / "summary.json").read_text())
    assert results.values["psnr_aligned"] == summary["psnr_aligned"]
    assert results.video == folder / "turntable.mp4"
    assert results.curves["clip_view"]["back view"] == summary["particles"][0]["clip_back"]
    assert np.array_equal(results.points, cloud(folder / "scene.ply"))


def test_a_radiance_field_leaves_its_checkpoint(tmp_path):
    folder = launch(tmp_path / "run", *SMALL, "steps=2", "representation=instant_ngp", "metric=none", RECORDED)
    (results,) = Recorded.results
    assert results.points is None
    assert [path.name for path in results.files] == ["checkpoint.pt", "config.yaml", "summary.json"]
    assert all(path.parent == folder for path in results.files)


def test_a_cloud_has_the_scenes_places_and_colours(tmp_path):
    """Against the file as any reader sees it, whose axes are x right, y down, z forward."""
    folder = launch(tmp_path / "run", *SMALL, "steps=20", "metric=none")
    vertex = PlyData.read(str(folder / "scene.ply"))["vertex"]
    solid = 1 / (1 + np.exp(-vertex["opacity"])) > SOLID
    assert 0 < solid.sum() < len(solid)
    world = np.stack([-vertex["z"], vertex["x"], -vertex["y"]], 1)[solid]
    dc = np.stack([vertex[f"f_dc_{i}"] for i in range(3)], 1)[solid]
    points = cloud(folder / "scene.ply")
    assert np.allclose(points[:, :3], world, atol=1e-6)
    assert np.allclose(points[:, 3:], np.round(255 * np.clip(0.5 + 0.28209479 * dc, 0, 1)), atol=1)
