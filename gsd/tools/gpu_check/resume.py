"""A run on the device, killed at a checkpoint and continued, against an undisturbed one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gsd.cli.folders import child_environment
from gsd.results.folder import RunFolder
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.result import Row

COMPARED = ("render/rgb", "noise/std", "score/gradient_rms")
NEAR = 0.05  # relative: a GPU adds in any order, and the steps amplify the rounding
FILMS = "imageio_ffmpeg"  # without it a run ends where its films begin, after the last checkpoint


def rows(bench: Bench) -> Iterator[Row]:
    folders = {name: bench.large / "runs" / name for name in ("straight", "killed")}
    codes = {"straight": _finish(bench, folders["straight"]), "killed": _kill(bench, folders["killed"])}
    yield Row("killed", {"exit code": codes["killed"], "steps": _steps(folders["killed"])}, codes["killed"] == -9)
    codes["killed"] = _finish(bench, folders["killed"])
    straight, killed = (RunFolder(folder).records() for folder in folders.values())
    apart = [
        abs(mine[name] - other[name]) / max(abs(other[name]), 1e-6)
        for mine, other in zip(killed, straight, strict=False)
        for name in COMPARED
    ]
    whole = bool(straight) and [r["step"] for r in killed] == [r["step"] for r in straight]
    films = find_spec(FILMS) is not None
    ended = not films or set(codes.values()) == {0}
    figures = {"exit code": codes["killed"], "steps": len(killed), "largest difference": max(apart, default=1.0)}
    note = "" if films else "the films were not tried: imageio-ffmpeg is not installed"
    yield Row("continued", figures, whole and ended and max(apart) < NEAR, note)


def _start(bench: Bench, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gsd", *bench.options, *bench.sizes.run, f"hydra.run.dir={folder}"]
    return subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )


def _finish(bench: Bench, folder: Path) -> int:
    with _start(bench, folder) as process:
        try:
            return process.wait(bench.sizes.run_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _kill(bench: Bench, folder: Path) -> int:
    """kill -9 as soon as there is a checkpoint. Returns the exit code, -9 if the run was not over by then."""
    with _start(bench, folder) as process:
        ends = time.monotonic() + bench.sizes.run_seconds
        while process.poll() is None and not (folder / "checkpoint.pt").exists() and time.monotonic() < ends:
            time.sleep(0.01)
        process.kill()
        return process.wait()


def _steps(folder: Path) -> int:
    return len(RunFolder(folder).records()) if folder.exists() else 0
