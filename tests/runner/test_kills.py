"""kill -9 at random moments of real processes: from the first import to the film, the end is the undisturbed one's."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from launch import LIGHT, SMALL, same, start

from gsd.results.folder import RunFolder
from gsd.results.sweep_folder import SweepFolder

FIELD = ("representation=instant_ngp", "representation.levels=4", "representation.log2_table=10", "loss=[opaque]")
GROWING = ("densify=default", "densify.start=10", "densify.every=20", "densify.grow_gradient=1e-6")
TINY = ("metric=none", "loss=none", "noising=random", "camera.groups=1", "camera.views=2")
FUSED = ("prior=threefuse", "prior.model=tiny", "prior.controlnet=tiny", "init=menagerie")
KINDS = {  # overrides, kills
    "gaussians": ((*LIGHT, "steps=300"), 3),
    "gaussians often": ((*LIGHT, "steps=300", "images_every=7", "evaluate_every=50"), 20),
    "densify": ((*LIGHT, *GROWING, "steps=200"), 15),
    "mcmc": ((*LIGHT, "densify=mcmc", "densify.start=10", "densify.every=20", "steps=200"), 5),
    "instant_ngp": ((*LIGHT, *FIELD, "steps=150"), 15),
    "textured_mesh": ((*LIGHT, "representation=textured_mesh", "representation.texture=64", "steps=200"), 10),
    "particles": ((*LIGHT, "particles=2", "steps=200"), 10),
    "loggers": ((*LIGHT, "logger=[tensorboard,trackio,wandb]", "steps=100"), 7),
    "vsd": ((*SMALL, *TINY, "prior=tiny", "guidance=vsd", "steps=30"), 10),
    "threefuse": ((*SMALL, *TINY, *FUSED, "steps=20"), 7),
}
SWEEPS = 8  # kills of each: a sweep, and one of its runs


def seconds_of(cwd, *arguments):
    """How long the undisturbed takes."""
    began = time.monotonic()
    process = start(cwd, *arguments)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, out + err
    return time.monotonic() - began


def killed_in(process, seconds):
    """Whether the process was killed after so many seconds, and not over before."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    assert process.returncode == 0, process.communicate()
    return False


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind != "gaussians" else []) for kind in KINDS]
)
def test_killed_and_continued_equals_undisturbed(tmp_path, kind):
    """As many kills in one run as come before its end, then the next run, until all kills are through."""
    overrides, left = KINDS[kind]
    arguments, rng = (*overrides, "checkpoint_every=10"), random.Random(kind)
    lasts, rounds = seconds_of(tmp_path, *arguments, "name=straight"), 0
    (straight,) = tmp_path.glob("outputs/straight/*")
    while left:
        rounds += 1
        while left and killed_in(start(tmp_path, *arguments, f"name=killed{rounds}"), rng.random() * lasts):
            left -= 1
        if not left:
            seconds_of(tmp_path, *arguments, f"name=killed{rounds}")
        (killed,) = tmp_path.glob(f"outputs/killed{rounds}/*")
        assert straight.name == killed.name  # the name is no part of a run's identity
        same(straight, killed)
        assert not (killed / "FAILED").exists()


@pytest.mark.slow
def test_sweeps_and_their_runs_killed_and_continued_equal_undisturbed(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    grid = ("-m", *SMALL, "metric=none", "loss=none", "steps=120", "seed=range(3)")
    beside = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "name=killed")
    lasts, rng, sweep = seconds_of(tmp_path, *grid, "name=straight"), random.Random(0), tmp_path / "multirun/killed"
    straight = [done.parent for done in tmp_path.glob("multirun/straight/*/DONE")]
    assert len(straight) == 3
    kills = 0
    while kills < 2 * SWEEPS:
        process, kill = start(tmp_path, *grid, *beside), (killed_in, a_run_is_killed)[kills % 2]
        kills += kill(process, rng.random() * lasts, *([sweep] if kills % 2 else []))
        wait_until_nothing_runs(sweep)
        if len(list(sweep.glob("*/DONE"))) == len(straight) or kills == 2 * SWEEPS:
            seconds_of(tmp_path, *grid, *beside)
            for each in straight:
                same(each, sweep / each.name)
            shutil.rmtree(sweep)


def a_run_is_killed(process, seconds, sweep):
    """One that runs after so many seconds, if any; the sweep goes on with the others, and says which has failed."""
    time.sleep(seconds)
    running = [lock.parent for lock in sweep.glob("*/.lock") if RunFolder(lock.parent).holder]
    if running and (holder := RunFolder(running[0]).holder):
        os.kill(holder.pid, signal.SIGKILL)
    process.communicate(timeout=600)
    states = {row.name: row.state for row in SweepFolder(sweep).rows()}
    assert set(states.values()) <= {"done", "failed"}
    return bool(running) and "failed" in states.values()


def wait_until_nothing_runs(sweep):
    end = time.monotonic() + 120
    while sweep.exists() and any(row.state == "running" for row in SweepFolder(sweep).rows()):
        assert time.monotonic() < end
        time.sleep(0.1)
