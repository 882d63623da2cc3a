"""The protocol of everything that watches a run, and the clock from which watchers take their own time out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gsd.types import StepState


class Watcher:
    """Is told what happens in a run, from its first step or from a checkpoint on. Every method is optional.

    The order is `__enter__`, `begin`; for each step `lap` after each of its stages, `step`, and `checkpoint` if any
    watcher wants one; `end` after the last step, `done` after the results are written; `__exit__` in any case.
    """

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *error: object) -> None:
        """With the error that ends the run, if one does: SystemExit where a signal has stopped it."""

    def begin(self, taken: int) -> None:
        """All watchers have entered, and so many steps had been taken before."""

    def lap(self, stage: str) -> None:
        """A stage of a step has ended, see `gsd.loop`."""

    def step(self, state: StepState) -> None:
        """A step has been taken, its update included."""

    @property
    def wants_checkpoint(self) -> bool:
        """Asked after each step."""
        return False

    def checkpoint(self) -> None:
        """The recorder saves a checkpoint; watchers that come after it are told once that is safe."""

    def end(self) -> None:
        """The last step has been taken."""

    def done(self, summary: dict[str, Any]) -> None:
        """summary.json and all other results are in the run folder."""


class Clock:
    """The seconds that a run has taken, without those that pass in `with clock.stopped():`."""

    def __init__(self) -> None:
        self.set(0.0)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def set(self, seconds: float) -> None:
        self._began = time.perf_counter() - seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        seconds = self.seconds
        try:
            yield
        finally:
            self.set(seconds)
