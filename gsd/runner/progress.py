"""How far a run is: a bar on a terminal, else a plain line now and then; the lines also go to run.log."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from gsd.results.folder import RunFolder
from gsd.results.quantities import MEANINGLESS
from gsd.runner.pace import Pace
from gsd.runner.watch import Clock, Watcher
from gsd.types import StepState

REFRESH_S = 0.2  # of the bar; reading the loss waits for the device, so it is read this seldom
LINE_PART, LINE_S = 0.05, 30.0  # a line for each such part of the run, and when so many seconds have passed
LEAST_S = 1.0  # between two lines, so that a run of seconds has few


class Progress(Watcher):
    """Steps per second are those since the second step of this process: the first compiles kernels.

    pace: of the run that begins. clock: the run's; it stands still while a viewer pauses the run.
    """

    def __init__(self, pace: Pace, folder: RunFolder, clock: Clock) -> None:
        self.pace, self.steps, self.folder, self.clock = pace, pace.steps, folder, clock
        self.terminal = sys.stderr.isatty()
        self.bar = RichProgress(
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[loss]}"),
            console=Console(stderr=True),
            disable=not self.terminal,
        )
        self.task = self.bar.add_task("optimise", total=self.steps, speed="", left="", loss="")

    def begin(self, taken: int) -> None:
        self.bar.update(self.task, completed=taken)
        self.bar.start()
        self.first = taken + 1
        self.began = self.last = self.shown = self.written = self.clock.seconds
        self.reached = taken

    def step(self, state: StepState) -> None:
        now, done = self.clock.seconds, state.step + 1
        if done == self.first:
            self.began = now
        self.pace.step(state.cameras, now - self.last)
        self.last = now
        if self.terminal and (now - self.shown >= REFRESH_S or done == self.steps):
            self.shown = now
            speed, left, loss = self._speed(done, now), self._left(done), _terms(state)
            self.bar.update(self.task, completed=done, speed=speed, left=left, loss=loss)
        part = (done - self.reached) / self.steps >= LINE_PART and now - self.written >= LEAST_S
        if part or now - self.written >= LINE_S or done == self.steps:
            self.written, self.reached = now, done
            self._line(state, done, now)

    def _line(self, state: StepState, done: int, now: float) -> None:
        told = [f"step {done}/{self.steps}", self._speed(done, now), self._left(done)]
        line = ": ".join(filter(None, (", ".join(filter(None, told)), _terms(state))))
        if not self.terminal:
            print(line, flush=True)
        with (self.folder / "run.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def _speed(self, done: int, now: float) -> str:
        """Unknown after one step."""
        return f"{(done - self.first) / (now - self.began):.3g} steps/s" if done > self.first else ""

    def _left(self, done: int) -> str:
        left = self.pace.left(done)
        return f"{_duration(left)} left" if left is not None and done < self.steps else ""

    def end(self) -> None:
        self.bar.stop()

    def __exit__(self, error: object = None, *rest: object) -> None:
        if error is not None:
            self.bar.stop()


def _terms(state: StepState) -> str:
    """The losses; the number of the score says nothing."""
    terms = {name: term for name, term in state.terms.items() if f"loss/{name}" not in MEANINGLESS}
    return ", ".join(f"{name} {float(term.detach()):.3g}" for name, term in terms.items())


def _duration(seconds: float) -> str:
    """1 h 05 min, 3 min 20 s or 12 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
