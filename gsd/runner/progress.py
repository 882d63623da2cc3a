"""The progress bar: steps per second, time left, loss. Nothing is shown where standard error is no terminal."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from gsd.runner.watch import Watcher
from gsd.types import StepState

REFRESH_S = 0.2  # reading the loss waits for the device, so it is read this seldom


class Progress(Watcher):
    def __init__(self, steps: int) -> None:
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
        self.task = self.bar.add_task("optimise", total=steps, speed="", loss="")

    def begin(self, taken: int) -> None:
        self.bar.update(self.task, completed=taken)
        self.bar.start()
        self.start, self.began, self.shown = taken, time.perf_counter(), 0.0

    def step(self, state: StepState) -> None:
        now = time.perf_counter()
        if self.bar.disable or now - self.shown < REFRESH_S:
            return
        self.shown = now
        done = state.step + 1
        speed = (done - self.start) / (now - self.began)
        loss = ", ".join(f"{name} {float(term):.3g}" for name, term in state.terms.items())
        self.bar.update(self.task, completed=done, speed=f"{speed:.1f} steps/s", loss=loss)

    def end(self) -> None:
        self.bar.stop()

    def __exit__(self, error: object = None, *rest: object) -> None:
        if error is not None:
            self.bar.stop()
