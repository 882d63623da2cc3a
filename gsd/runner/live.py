"""A run that is looked at while it goes on: what the viewer is told, when, and how it makes the run wait."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from gsd.backend.images import uint8
from gsd.errors import reason
from gsd.experiment import Experiment
from gsd.particles import Particles
from gsd.results.folder import RunFolder
from gsd.results.tail import Tail
from gsd.runner.mirror import described
from gsd.runner.pictures import step_pictures
from gsd.runner.signals import Signals
from gsd.runner.watch import Clock, Watcher
from gsd.types import Shown, StepState
from gsd.watching import Display, Viewer

POLL_S = 0.03  # how often a paused run looks whether it may go on
LEAST_S = 0.1  # between two pictures: no eye needs more, and the server's thread works beside the run


class Live(Watcher):
    """Shows steps in the viewer, as many as its share of the run's time allows, and none while nobody looks.

    While the run is paused its clock stands still; a signal that asks the run to end ends the pause too. A viewer that
    raises is named in a line on stderr and closed, and the run goes on.
    """

    def __init__(
        self,
        viewer: Viewer,
        experiment: Experiment,
        folder: RunFolder,
        clock: Clock,
        in_sweep: bool,
        signals: Signals,
    ) -> None:
        self.viewer, self.experiment, self.folder, self.clock = viewer, experiment, folder, clock
        self.in_sweep, self.signals = in_sweep, signals
        self.tail = Tail(folder / "metrics.jsonl")
        self.budget = Budget(clock, viewer.cost)
        self.opened = ExitStack()
        self.display: Display | None = None

    def __enter__(self) -> Live:
        with self.clock.stopped():
            run = described(self.experiment, self.folder, self.in_sweep)
            self.display = self.opened.enter_context(self.viewer(run))
        return self

    def begin(self, taken: int) -> None:
        self.budget.begin()

    def __exit__(self, *error: object) -> None:
        self.opened.close()

    def step(self, state: StepState) -> None:
        if self.display is None:
            return
        try:
            if self.display.watched and self._first_particle(state) and self.budget.allows():
                with self.budget.spending():
                    self._show(self.display, state)
            if self.display.paused:
                with self.clock.stopped():
                    self._pause(self.display, state)
        except Exception as error:
            self._give_up(error)

    def _first_particle(self, state: StepState) -> bool:
        """Steps of several scenes in turn would be several scenes in turn."""
        scene = self.experiment.representation
        return not isinstance(scene, Particles) or state.step % len(scene.scenes) == 0

    def _pause(self, display: Display, state: StepState) -> None:
        self._show(display, state)
        while display.paused and not display.advanced() and not self.signals.seen:
            if display.changed():
                self._show(display, state)
            time.sleep(POLL_S)

    @torch.no_grad()
    def _show(self, display: Display, state: StepState) -> None:
        scene = self.experiment.representation
        acting = scene.scenes[scene.turn - 1] if isinstance(scene, Particles) else scene
        pictures = {name: np.stack([uint8(x) for x in each]) for name, each in step_pictures(state).items()}
        display.show(Shown(state, acting, pictures, self.tail.new()))

    def done(self, summary: dict[str, Any]) -> None:
        if self.display is not None:
            self.display.finish()

    def _give_up(self, error: Exception) -> None:
        what = f"The viewer has failed ({type(error).__name__}: {reason(error)})"
        print(f"{what} and is closed; the run goes on.", file=sys.stderr)
        self.display = None
        self.opened.close()


class Budget:
    """Time that may be spent: a share of what has passed on a clock. What has been spent once is expected again."""

    def __init__(self, clock: Clock, share: float) -> None:
        self.clock, self.share = clock, share
        self.spent = self.last = 0.0

    def begin(self) -> None:
        self.began = self.clock.seconds
        self.next = 0.0

    def allows(self) -> bool:
        passed = self.clock.seconds - self.began
        return passed >= self.next and self.spent + self.last <= self.share * passed

    @contextmanager
    def spending(self) -> Iterator[None]:
        before = self.clock.seconds
        yield
        self.last = self.clock.seconds - before
        self.spent += self.last
        self.next = self.clock.seconds - self.began + LEAST_S
