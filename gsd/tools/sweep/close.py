"""The end of a sweep: summary, report, and the last lines."""

from __future__ import annotations

import traceback
from contextlib import suppress
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
    missing = [row for row in rows if row.state != "done"]
    own = [row for row in missing if not sweeps or row.name in sweeps[-1].jobs]
    with suppress(BrokenPipeError):  # of a reader that has seen enough
        if any(row.state == "done" for row in rows):
            try:
                print("Summary:", *write(path))
            except BrokenPipeError:
                raise
            except (GsdError, OSError) as error:
                print(error)
            except Exception:
                traceback.print_exc()
        if missing:
            print(table(missing[:SHOWN]))
            if len(missing) > SHOWN:
                print(f"... and {len(missing) - SHOWN} more: gsd sweep status {path}")
        hint = (
            "The same command runs what is missing." if own else "What is missing was asked for by an earlier command."
        )
        print(f"{path}: {count(rows)}." + (f" {hint}" if missing else ""), flush=True)
    return int(bool(own))
