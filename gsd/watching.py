"""The interfaces of what looks on: loggers and viewers, which never change a run's bits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from gsd.ranges import Fraction
from gsd.types import Shown, TrackedResults, TrackedRow, TrackedRun


@runtime_checkable
class Logger(Protocol):
    """A tracker that mirrors run folders: `with logger(run) as tracker`, once for every stretch that a run goes on.

    The block is left by SystemExit where a signal has stopped the run, and by its error where it has failed. What a
    tracker itself raises ends its part and never the run, see `gsd.runner.mirror`.
    """

    def __call__(self, run: TrackedRun) -> AbstractContextManager[Tracker]: ...


class Tracker(Protocol):
    known: int  # rows that the tracker already has: rows with smaller numbers are not sent again

    def log(self, rows: Sequence[TrackedRow]) -> None:
        """Called in the order of the row numbers, only with rows that a checkpoint holds: none is ever retracted."""

    def finish(self, results: TrackedResults) -> None:
        """Once, after the last row."""


@runtime_checkable
class Viewer(Protocol):
    """Shows a run while it goes on: `with viewer(run) as display`, see `gsd.runner.live`."""

    cost: Fraction  # of the run's time that showing may take: steps are left out so that it does not take more

    @abstractmethod
    def __call__(self, run: TrackedRun) -> AbstractContextManager[Display]: ...


@runtime_checkable
class Display(Protocol):
    """A viewer at work. Whoever looks changes what it says from other threads; the run asks between two steps."""

    paused: bool  # the run waits after this step

    @property
    def watched(self) -> bool:
        """Whether somebody looks: nothing is drawn otherwise."""

    def changed(self) -> bool:
        """Whether what is shown should be drawn again; asking takes that back."""

    def advanced(self) -> bool:
        """Whether a paused run should take one step; asking takes that back."""

    def show(self, shown: Shown) -> None:
        """Called by the run, between two steps and without gradients; nothing of what it is given may be changed."""

    def finish(self) -> None:
        """The results are in the run folder; the viewer closes soon."""
