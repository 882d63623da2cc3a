"""A run on the device, killed at a checkpoint and continued, against an undisturbed one."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gsd.cli.folders import child_environment
from gsd.results.folder import RunFolder
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.result import Row

COMPARED = ("render/rgb", "noise/std", "score/gradient_rms")
NEAR = 0.05  # relative: a GPU adds in any order, and the steps amplify the rounding
TINY = 1e-6
FILMS = "imageio_ffmpeg"  # without it a run ends where its films begin, after the last checkpoint


def rows(bench: Bench) -> Iterator[Row]:
    straight, killed = (bench.large / "runs" / name for name in ("straight", "killed"))
    films = find_spec(FILMS) is not None
    for folder in (straight, killed):
        if folder == killed:
            code = _kill(bench, folder)
            yield Row("killed", {"exit code": code, "steps": len(_records(folder))}, code == -9)
        code, said = _finish(bench, folder)
        apart = _apart(_records(folder), _records(straight))
        ok = (code == 0 or not films) and apart < NEAR
        note = said if code else ""
        figures = {"exit code": code, "steps": len(_records(folder)), "largest difference": apart}
        yield Row("undisturbed" if folder == straight else "continued", figures, ok, note)


def _apart(mine: list[dict[str, Any]], straight: list[dict[str, Any]]) -> float:
    """The largest relative difference of any step; infinite if steps are missing."""
    if not straight or [row["step"] for row in mine] != [row["step"] for row in straight]:
        return math.inf
    pairs = [(a[name], b[name]) for a, b in zip(mine, straight, strict=True) for name in COMPARED]
    return max(abs(a - b) / max(abs(b), TINY) for a, b in pairs)


def _start(bench: Bench, folder: Path, stderr: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gsd", *bench.options, *bench.sizes.run, f"hydra.run.dir={folder}"]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": stderr, "text": True}
    return subprocess.Popen(command, env=child_environment(), **pipes)


def _finish(bench: Bench, folder: Path) -> tuple[int, str]:
    """The exit code, and the last line of what went wrong."""
    with _start(bench, folder, subprocess.PIPE) as process:
        try:
            _, said = process.communicate(timeout=bench.sizes.run_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, (said.strip().splitlines() or [""])[-1]


def _kill(bench: Bench, folder: Path) -> int:
    """kill -9 as soon as there is a checkpoint. Returns the exit code, -9 if the run was not over by then."""
    with _start(bench, folder, subprocess.DEVNULL) as process:  # a pipe that nobody reads would stop it
        ends = time.monotonic() + bench.sizes.run_seconds
        while process.poll() is None and not (folder / "checkpoint.pt").exists() and time.monotonic() < ends:
            time.sleep(0.01)
        process.kill()
        return process.wait()


def _records(folder: Path) -> list[dict[str, Any]]:
    return RunFolder(folder).records() if folder.exists() else []
