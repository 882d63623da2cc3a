import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from launch import LIGHT, ROOT, config, crash, launch, records, same, start

from gsd.cli.hydra import choices
from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.results.runs import Run

OUTPUTS = (
    "config.yaml",
    "overrides.yaml",
    "choices.yaml",
    "metrics.jsonl",
    "summary.json",
    "checkpoint.pt",
    "scene.ply",
    "DONE",
)


def test_a_run_leaves_everything_and_a_second_call_does_nothing(tmp_path, capsys):
    folder = launch(tmp_path / "run", *LIGHT, "steps=5", "images_every=2", filmed=True)
    for name in (
        *OUTPUTS,
        "run.log",
        "turntable.mp4",
        "turntable_dark.mp4",
        "turntable.png",
        "views/000_rgb.png",
        "views/000_depth.png",
    ):
        assert (folder / name).exists(), name
    assert sorted(p.name for p in (folder / "strips").iterdir()) == ["000000.png", "000002.png", "000004.png"]
    assert not list(folder.glob(".*.tmp"))
    assert [r["step"] for r in records(folder)] == [0, 1, 2, 3, 4]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["prior_calls"] == 10
    assert summary["options"]["noising"] == "consistent"
    assert {"psnr_aligned", "view_error_deg", "face_fraction", "face_count", "seconds"} <= summary.keys()

    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    capsys.readouterr()
    launch(folder, *LIGHT, "steps=5", "images_every=2")
    assert "Already done" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_numbers_for_a_loss_that_is_not_chosen_choose_none():
    assert choices(config("loss=none", "+loss.consistency.input=score", hydra=True))["loss"] == []
    chosen = choices(config("loss=[sparsity,opaque]", "metric=none", "logger=[files,wandb]", hydra=True))
    assert (chosen["loss"], chosen["metric"]) == (["sparsity", "opaque"], [])
    assert "logger" not in chosen


@pytest.mark.parametrize(
    "extra",
    [
        (),
        (
            "densify=default",
            "densify.start=1",
            "densify.every=3",
            "densify.grow_gradient=1e-6",
            "densify.reset_every=7",
        ),
        ("loss.consistency.weight={kind: share, value: 0.2}",),
    ],
    ids=["plain", "densify", "share"],
)
def test_interrupted_anywhere_and_continued_equals_undisturbed(tmp_path, extra, monkeypatch):
    """A crash after any step, at several random steps of one run, leaves no trace in the result."""
    import gsd.loop

    overrides = (*LIGHT, "steps=14", *extra)
    straight = launch(tmp_path / "straight", *overrides)
    real, rng = gsd.loop.take_step, random.Random(0)
    for attempt in range(6):
        crash_at = rng.randrange(14)

        def take_step(experiment, step, lap, crash_at=crash_at):
            if step == crash_at:
                raise RuntimeError("pulled the plug")
            return real(experiment, step, lap)

        monkeypatch.setattr(gsd.loop, "take_step", take_step)
        try:
            launch(tmp_path / "broken", *overrides)
        except RuntimeError:
            assert "pulled the plug" in (tmp_path / "broken" / "FAILED").read_text()
        else:
            assert attempt > 0  # the checkpoint lay beyond the step that crashes
            break
    monkeypatch.setattr(gsd.loop, "take_step", real)
    launch(tmp_path / "broken", *overrides)
    assert not (tmp_path / "broken" / "FAILED").exists()
    same(straight, tmp_path / "broken")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_at_a_checkpoint(tmp_path, number):
    process = start(tmp_path, *LIGHT, "steps=100000", "checkpoint_every=50")
    while not list(tmp_path.glob("outputs/*/*/checkpoint.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "the same command continues" in out
    (folder,) = tmp_path.glob("outputs/*/*")
    assert not (folder / "FAILED").exists()
    saved = RunFolder(folder).load_checkpoint()
    assert saved["step"] == len(records(folder))


@pytest.mark.parametrize(("part", "named"), [("noising", "noise/std"), ("prior", "score/gradient_rms")])
def test_numbers_that_are_not_finite_stop_the_run_and_name_the_culprit(tmp_path, monkeypatch, part, named):
    import gsd.noising.consistent
    import gsd.prior.menagerie

    owner, method = {
        "noising": (gsd.noising.consistent.Consistent, "__call__"),
        "prior": (gsd.prior.menagerie.Menagerie, "denoise"),
    }[part]
    real, calls = getattr(owner, method), iter(range(1000))
    monkeypatch.setattr(
        owner, method, lambda *args: real(*args) * (torch.nan if next(calls) == 6 else 1.0), raising=True
    )
    with pytest.raises(GsdError, match=rf"Step 6: {named} is not finite"):
        launch(tmp_path / "run", *LIGHT, "steps=12")
    folder = RunFolder(tmp_path / "run")
    assert folder.load_checkpoint()["step"] == 4  # the last good one
    assert "not finite" in (folder / "FAILED").read_text()
    assert not folder.done


def test_two_processes_cannot_share_a_folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.lock(), pytest.raises(GsdError, match="Another process"), RunFolder(tmp_path / "run").lock():
        pass


def test_damaged_checkpoint_is_named(tmp_path):
    folder = launch(tmp_path / "run", *LIGHT, "steps=4")
    (folder / "DONE").unlink()
    (folder / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(GsdError, match=r"checkpoint.pt is damaged .* delete it"):
        launch(folder, *LIGHT, "steps=4")


def test_adding_a_component_does_not_shift_another(tmp_path):
    """The cameras and noise levels of a run do not depend on its noising or losses."""
    a = launch(tmp_path / "a", *LIGHT, "steps=3", "noising=random", "loss=none")
    b = launch(tmp_path / "b", *LIGHT, "steps=3", "loss=[consistency,opaque,sparsity]")
    assert [r["sigma"] for r in records(a)] == [r["sigma"] for r in records(b)]
    assert np.isclose(records(a)[0]["render/rgb"], records(b)[0]["render/rgb"], atol=0)


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own and what changes its size or mode: mount -o remount,..."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield place, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)
    subprocess.run(["umount", str(place)], check=True)


TWELVE = (*LIGHT, "steps=12", "checkpoint_every=3")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("run") / "straight", *TWELVE)


@pytest.mark.parametrize("kilobytes", [0, 12, 32, 64, 96])
def test_a_full_disk_is_named_and_nothing_is_lost(straight, disk, kilobytes):
    place, remount = disk
    remount(f"size={kilobytes + 4}k")
    with pytest.raises(GsdError, match=r"No space is left|cannot be made: No space left"):
        launch(place / "run", *TWELVE)
    assert not (place / "run/DONE").exists()
    remount("size=8m")
    same(launch(place / "run", *TWELVE), straight)
    assert sorted(p.name for p in (place / "run").glob(".*")) == [".lock"]


def test_a_disk_that_takes_nothing(disk):
    place, remount = disk
    remount("ro")
    with pytest.raises(GsdError, match="cannot be made: Read-only file system"):
        launch(place / "run", *LIGHT)
    remount("rw")
    (place / "run").mkdir()
    remount("ro")
    with pytest.raises(GsdError, match="cannot be written to: Read-only file system"):
        launch(place / "run", *LIGHT)


def test_a_clock_that_is_set_back_changes_nothing(straight, tmp_path, monkeypatch):
    """Between a crash and the next start, so that every file there seems to be of tomorrow."""
    mend = crash(monkeypatch, 8)
    with pytest.raises(RuntimeError, match="plug"):
        launch(tmp_path / "run", *TWELVE)
    mend()
    real, day = time.time, 86400
    for path in (tmp_path / "run").rglob("*"):
        os.utime(path, (real() + day, real() + day))
    monkeypatch.setattr(time, "time", lambda: real() - day)
    same(launch(tmp_path / "run", *TWELVE), straight)
    assert Run(tmp_path / "run").summary["seconds"] > 0


@pytest.mark.slow
def test_a_machine_where_nothing_but_the_run_folder_can_be_written(straight, disk):
    """A read-only home, a full cache and a full TMPDIR, for a process that has nothing compiled."""
    place, remount = disk
    for name in ("home", "cache", "tmp"):
        (place / name).mkdir()
    (place / "filler").write_bytes(b"x" * 16384)
    with suppress(OSError), (place / "filler").open("ab") as file:
        while True:
            file.write(b"x")
            file.flush()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"HOME": f"{place}/home", "GSD_CACHE": f"{place}/cache", "TMPDIR": f"{place}/tmp"}
    command = [sys.executable, "-m", "gsd", *TWELVE, f"hydra.run.dir={straight.parent}/poor"]
    for how in ("rw", "ro"):
        remount(how)
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        same(straight.parent / "poor", straight)
        shutil.rmtree(straight.parent / "poor")


@pytest.mark.slow
def test_two_cold_starts_at_once(straight, tmp_path):
    """Both find an empty cache, and compile into it at the same time."""
    environment = os.environ | {"GSD_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    for _ in range(2):  # and again, from what they have left
        command = [sys.executable, "-m", "gsd", *TWELVE]
        pair = [subprocess.Popen([*command, f"name={k}"], cwd=tmp_path, env=environment, stderr=-1) for k in range(2)]
        for process in pair:
            _, err = process.communicate(timeout=3600)  # half a minute of computing each, on a machine that is free
            assert process.returncode == 0, err
        for k in range(2):
            (folder,) = tmp_path.glob(f"outputs/{k}/*")
            same(folder, straight)
            shutil.rmtree(folder)
