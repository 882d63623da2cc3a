"""Run the program as a user does, at a size that takes a second, in this process or in another."""

import json
import os
import subprocess
import threading
import time
from copy import deepcopy
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from forked import ROOT, Program
from omegaconf import DictConfig

import gsd.loop
from gsd.backend import film
from gsd.cli.hydra import compose, plain

SMALL = (
    "init.points=150",
    "camera.resolution=16",
    "turntable.views=8",
    "turntable.resolution=16",
    "threads=1",
    "checkpoint_every=4",
    "images_every=0",
)
LIGHT = (*SMALL, "metric.truth.resolution=16", "metric.truth.variants=1", "metric.truth.azimuths=12")  # and its metric


def config(*overrides: str, hydra: bool = False) -> DictConfig:
    """The composed config, as run.py would see it."""
    cfg = deepcopy(_composed(overrides))
    return cfg if hydra else plain(cfg)


@lru_cache(maxsize=256)  # a third of a second each
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return compose(*overrides)


def launch(folder: Path, *overrides: str, base: DictConfig | None = None, filmed: bool = False) -> Path:
    """A whole run in this process; its folder is `folder`. With a `base`, overrides are of that config.

    Its films are black unless it is `filmed`: to encode those of a small run takes as long as the run.
    """
    from quick_config import is_plain, quick

    from gsd.runner.run import run

    quickly = base is not None or all(map(is_plain, overrides))
    cfg = quick(*overrides, base=base, hydra=True) if quickly else config(*overrides, hydra=True)
    _here.black = not filmed
    try:
        run(cfg, folder)
    finally:
        _here.black = False
    return folder


_here, _encode = threading.local(), film.write


def _film(path: Path, frames: list[np.ndarray], fps: float, called: str) -> None:
    if getattr(_here, "black", False):
        path.write_bytes(_black(len(frames), frames[0].shape, fps))
    else:
        _encode(path, frames, fps, called)


@cache
def _black(count: int, shape: tuple[int, ...], fps: float) -> bytes:
    with TemporaryDirectory() as folder:
        _encode(Path(folder) / "black.mp4", [np.zeros(shape, np.uint8)] * count, fps, "black.mp4")
        return (Path(folder) / "black.mp4").read_bytes()


film.write = _film


def start(cwd: Path, *arguments: str, **options) -> subprocess.Popen:
    """python run.py ARGUMENTS in a process of its own, with outputs/ and multirun/ under `cwd`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return Program(arguments, **({"cwd": cwd, "env": environment} | pipes | options))


def shell(cwd: Path, *arguments: str, **options) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of python run.py ARGUMENTS."""
    process = start(cwd, *arguments, **options)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def records(folder: Path) -> list[dict]:
    """metrics.jsonl without the wall clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def same(a, b):
    """Bit-identical metrics and scene."""
    assert records(a) == records(b)
    for name in ("scene.ply", "turntable.png"):  # a radiance field has no file of its own
        one, other = ((x / name).read_bytes() if (x / name).exists() else name for x in (a, b))
        assert one == other, name
    free = ("seconds", "peak_memory_mb", "overrides")  # the clock, and name=, which is typed but changes nothing
    one, other = (json.loads((x / "summary.json").read_text()) for x in (a, b))
    assert {k: v for k, v in one.items() if k not in free} == {k: v for k, v in other.items() if k not in free}


def crash(monkeypatch, at, action=None):
    """The run's step `at` does `action` before anything else, or raises."""
    real = gsd.loop.take_step

    def take_step(experiment, step, lap):
        if step == at:
            if action is None:
                raise RuntimeError("pulled the plug")
            action()
        return real(experiment, step, lap)

    monkeypatch.setattr(gsd.loop, "take_step", take_step)
    return lambda: monkeypatch.setattr(gsd.loop, "take_step", real)


def wait_for_a_run(sweep, process):
    """The folder of a run that has got to a checkpoint, and the pid of who runs it."""
    while True:
        for checkpoint in sweep.glob("*/checkpoint.pt"):
            if not (checkpoint.parent / "DONE").exists():
                return checkpoint.parent, json.loads((checkpoint.parent / ".lock").read_text())["pid"]
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
