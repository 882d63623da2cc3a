"""One tick of a scheduled sweep: the sweep in a folder of its own, then what has moved since the last."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from gsd.backend.regular import regular
from gsd.cli.folders import child_environment
from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.results.provenance import commit
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep.compare import compare, regression_table
from gsd.tools.sweep.sweeper import into

MOVED = 2  # exit code
KEEP = "--keep {}: at least 1 tick, the last one, stays on disk."
MARK = ".tick"  # in a tick's folder
NAME = re.compile(r"\d{4}-\d\d-\d\d_\d{6}_(unknown|[0-9a-f]+\+?)")


def tick(folder: Path, overrides: list[str], keep: int | None = None) -> int:
    """Run the sweep in folder/TIME_COMMIT and compare it with the tick before.

    A signature does not know of the code, so a new commit gets a new folder; the same commit, its tree clean, goes on
    where its tick was left, and does nothing where that is done. keep: how many ticks stay on disk.
    Returns 0; 1 if a run failed; 2 if a metric has moved. Refuses to run beside another tick.
    """
    if keep is not None and keep < 1:
        raise GsdError(KEEP.format(keep))
    with SweepFolder(folder).lock():
        before, now = ticks(folder), commit()
        if before and now and not now.endswith("+") and before[-1].name.endswith(f"_{now}"):
            path = before.pop()
        else:
            path = folder / f"{time.strftime('%Y-%m-%d_%H%M%S')}_{now or 'unknown'}"
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {path}", flush=True)
        _mark(path, before)
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
        marked = [path for path in before if _number(path)]
        for old in marked[: max(0, len(marked) + 1 - keep)] if keep else []:
            shutil.rmtree(old)
        return code


def ticks(folder: Path) -> list[Path]:
    """In the order in which they were begun, which a clock that was set back does not tell."""
    found = [path for path in folder.glob("*") if NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: (_number(path), path.name))


def _mark(path: Path, before: list[Path]) -> None:
    """Number a tick: only what this file says is a tick is ever removed."""
    if not _number(path):
        RunFolder(path).write(MARK, f"{1 + max(map(_number, before), default=0)}\n")


def _number(path: Path) -> int:
    """From 1; 0 of a folder that no tick has marked."""
    try:
        return int(regular(path / MARK).read_text())
    except (OSError, ValueError):
        return 0
