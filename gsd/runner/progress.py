"""The progress bar: steps a second, time left, loss. Quiet where standard error is not a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from gsd.types import StepState

REFRESH_S = 0.2  # reading the loss waits for the device, so it is read this seldom


class Progress:
    def __init__(self, steps: int, start: int) -> None:
        self.bar = RichProgress(
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[speed]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("optimise", total=steps, completed=start, speed="", loss="")
        self.start, self.began, self.shown = start, time.perf_counter(), 0.0

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.stop()

    def update(self, state: StepState) -> None:
        now = time.perf_counter()
        if self.bar.disable or now - self.shown < REFRESH_S:
            return
        self.shown = now
        done = state.step + 1
        speed = (done - self.start) / (now - self.began)
        loss = ", ".join(f"{name} {float(term):.3g}" for name, term in state.terms.items())
        self.bar.update(self.task, completed=done, speed=f"{speed:.1f} steps/s", loss=loss)
