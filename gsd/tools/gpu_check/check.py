"""Run the stages one after the other, within a number of minutes, and write down what each found as it is found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from gsd.errors import reason
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.goals import goals
from gsd.tools.gpu_check.result import Outcome, Results
from gsd.tools.gpu_check.sizes import Sizes
from gsd.tools.gpu_check.stages import STAGES, Stage

WIDTH = 160  # of tables where there is no terminal


def check(
    folder: Path, device: torch.device, minutes: float, sizes: Sizes, stages: Sequence[Stage] = STAGES
) -> list[Outcome]:
    """Take the stages in their order, the worthiest first.

    A stage whose estimate goes beyond the minutes is not run, and the next may still be. One that takes longer than
    what is left is cut off between two rows.

    Args:
        folder: of gpu.json, gpu.md and the pictures.
        device: a CUDA device.
        minutes: from now on.
        sizes: of everything.
        stages: some of `STAGES`.

    Returns:
        What each stage found; `failed` is true of those that did not hold.
    """
    began, results, console = time.monotonic(), Results(folder), Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    results.about = {"made": datetime.now(timezone.utc).isoformat(timespec="seconds"), "minutes": minutes}
    results.outcomes = [Outcome(stage.name, stage.what) for stage in stages]
    results.write()  # in the place of an earlier check's
    with Bench(device, sizes, results) as bench:
        for stage, outcome in zip(stages, results.outcomes, strict=True):
            left = 60 * minutes - (time.monotonic() - began)
            if 60 * stage.minutes > left:
                outcome.note = f"{stage.minutes:g} min. do not fit into the {max(left, 0) / 60:.1f} that are left"
            else:
                _take(stage, outcome, bench, left)
                _print(console, outcome)
            results.write()
    console.print(_summary(results))
    return results.outcomes


def _take(stage: Stage, outcome: Outcome, bench: Bench, seconds: float) -> None:
    """All rows of a stage; an error is the stage's own, and the next one begins with an empty GPU."""
    began, outcome.status = time.monotonic(), "unfinished"  # as it stays if the process is killed
    try:
        rows: Any = stage.rows(bench)
        with closing(rows):
            for row in rows:
                outcome.rows.append(row)
                outcome.seconds = time.monotonic() - began
                bench.results.write()
                if outcome.seconds > seconds:
                    outcome.status, outcome.note = "cut off", "the time was over"
                    break
            else:
                outcome.status = "ok"
    except Exception as error:  # of any library, and none may cost what the other stages find
        outcome.status, outcome.note = "FAILED", f"{type(error).__name__}: {reason(error)}"
    if any(row.ok is False for row in outcome.rows):
        outcome.status = "FAILED"
    outcome.seconds = time.monotonic() - began
    bench.clear()


def _print(console: Console, outcome: Outcome) -> None:
    table = Table(title=f"{outcome.what}: {outcome.status}, {outcome.seconds:.0f} s", title_justify="left")
    lines = outcome.lines
    for heading in lines[0] if lines else ():
        table.add_column(heading, justify="left" if heading in ("what", "verdict", "note") else "right")
    for line in lines:
        table.add_row(*line.values(), style="red" if line.get("verdict") == "FAILED" else None)
    console.print(table if lines else f"{outcome.what}: {outcome.status}")
    if outcome.note:
        console.print(outcome.note, markup=False)


def _summary(results: Results) -> Table:
    table = Table("goal", "at most", "found", "reached", title=f"{results.folder}/gpu.md", title_justify="left")
    for row in goals(results.figures()):
        table.add_row(*row.values())
    table.add_section()
    for row in results.overview():
        colour = {"ok": "green", "FAILED": "red"}.get(row["result"], "yellow")
        table.add_row(row["what"], "", f"{row['s']} s", f"[{colour}]{row['result']}")
    return table
