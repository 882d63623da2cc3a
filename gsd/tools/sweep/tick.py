"""One tick of a scheduled sweep: the sweep in a folder of its own, then what has moved since the last."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from gsd.cli.folders import child_environment
from gsd.results.provenance import commit
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep.compare import compare, regression_table
from gsd.tools.sweep.sweeper import into

MOVED = 2  # exit code


def tick(folder: Path, overrides: list[str], keep: int | None = None) -> int:
    """Run the sweep in folder/TIME_COMMIT and compare it with the tick before.

    A signature does not know of the code, so a new commit gets a new folder; the same commit, its tree clean, goes on
    where its tick was left, and does nothing where that is done. keep: how many ticks stay on disk.
    Returns 0; 1 if a run failed; 2 if a metric has moved. Refuses to run beside another tick.
    """
    with SweepFolder(folder).lock():
        before, now = ticks(folder), commit()
        if before and now and not now.endswith("+") and before[-1].name.endswith(f"_{now}"):
            path = before.pop()
        else:
            path = folder / f"{time.strftime('%Y-%m-%d_%H%M%S')}_{now or 'unknown'}"
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {path}", flush=True)
        run = [sys.executable, "-m", "gsd", *overrides, into(path)]
        code = subprocess.run(run, env=child_environment(), check=False).returncode
        last = next((p for p in reversed(before) if list(p.glob("*/DONE"))), None)
        if last and list(path.glob("*/DONE")):
            moves = compare(last, path)
            text = regression_table(moves, last.name, path.name)
            (path / "regression.md").write_text(text, encoding="utf-8")
            moved = sum(move.moved for move in moves)
            print("\n".join(text.splitlines()[: 6 + moved]))
            code = code or (MOVED if moved else 0)
        for old in before[: max(0, len(before) + 1 - keep)] if keep else []:
            shutil.rmtree(old)
        return code


def ticks(folder: Path) -> list[Path]:
    """In the order of time."""
    return sorted(path for path in folder.glob("[0-9]*_*_*") if path.is_dir())
