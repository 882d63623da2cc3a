"""The end of a sweep: summary, report, and the last lines."""

from __future__ import annotations

from pathlib import Path

from gsd.sweep.folder import SweepFolder, count, table

SHOWN = 20  # runs that are not done; status shows them all


def close(path: str | Path) -> int:
    """Exit code: 0 if all runs are done."""
    rows = SweepFolder(path).rows()
    open_ = [row for row in rows if row.state != "done"]
    if open_:
        print(table(open_[:SHOWN]))
        if len(open_) > SHOWN:
            print(f"... and {len(open_) - SHOWN} more: python -m gsd.sweep status {path}")
    print(f"{path}: {count(rows)}.")
    if open_:
        print("The same command runs what is missing.")
    return int(bool(open_))
