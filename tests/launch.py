"""Run the program as a user does, at a size that takes a second, in this process or in another."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig

from gsd.cli.hydra import compose, plain

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    "init.points=150",
    "camera.resolution=16",
    "turntable.views=8",
    "turntable.resolution=16",
    "threads=1",
    "checkpoint_every=4",
    "images_every=0",
)


def config(*overrides: str, hydra: bool = False) -> DictConfig:
    """The composed config, as run.py would see it."""
    cfg = deepcopy(_composed(overrides))
    return cfg if hydra else plain(cfg)


@lru_cache(maxsize=256)  # a third of a second each
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return compose(*overrides)


def launch(folder: Path, *overrides: str) -> Path:
    """A whole run in this process; its folder is `folder`."""
    from gsd.runner.run import run

    run(config(*overrides, hydra=True), folder)
    return folder


def start(cwd: Path, *arguments: str, **options) -> subprocess.Popen:
    """python run.py ARGUMENTS in a process of its own, with outputs/ and multirun/ under `cwd`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def shell(cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of python run.py ARGUMENTS."""
    process = start(cwd, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def records(folder: Path) -> list[dict]:
    """metrics.jsonl without the wall clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def same(a, b):
    """Bit-identical metrics and scene."""
    assert records(a) == records(b)
    assert (a / "scene.ply").read_bytes() == (b / "scene.ply").read_bytes()
    free = ("seconds", "peak_memory_mb", "overrides")  # the clock, and name=, which is typed but changes nothing
    one, other = (json.loads((x / "summary.json").read_text()) for x in (a, b))
    assert {k: v for k, v in one.items() if k not in free} == {k: v for k, v in other.items() if k not in free}
