"""The end of a sweep: summary, report, and the last lines."""

from __future__ import annotations

import traceback
from pathlib import Path

from gsd.errors import GsdError
from gsd.results.sweep_folder import SweepFolder, count, table

SHOWN = 20  # runs that are not done; status shows them all


def close(path: str | Path) -> int:
    """Exit code: 0 if all runs that the last sweep into the folder asked for are done.

    What an earlier one has left is listed too. Results that cannot be summed up are still results.
    """
    from gsd.tools.sweep.summary import write

    folder = SweepFolder(path)
    rows, sweeps = folder.rows(), folder.sweeps
    if any(row.state == "done" for row in rows):
        try:
            print("Summary:", *write(path))
        except (GsdError, OSError) as error:
            print(error)
        except Exception:
            traceback.print_exc()
    missing = [row for row in rows if row.state != "done"]
    if missing:
        print(table(missing[:SHOWN]))
        if len(missing) > SHOWN:
            print(f"... and {len(missing) - SHOWN} more: gsd sweep status {path}")
    own = [row for row in missing if not sweeps or row.name in sweeps[-1].jobs]
    hint = " The same command runs what is missing." if own else " What is missing was asked for by an earlier command."
    print(f"{path}: {count(rows)}." + (hint if missing else ""))
    return int(bool(own))
