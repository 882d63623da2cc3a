"""Measuring while a run goes on: evaluations.jsonl and frames/, which figures of convergence read."""

from __future__ import annotations

from typing import Any

import torch

from gsd.backend.images import png
from gsd.experiment import Experiment
from gsd.geometry import turned_to
from gsd.particles import Particles
from gsd.protocols import Representation
from gsd.results.folder import RunFolder
from gsd.results.measure import measure, render_turntable
from gsd.runner.recorder import Recorder
from gsd.runner.watch import Watcher
from gsd.types import Cameras, StepState
from gsd.warping.compare import gradient_cosine

VIEWS, RESOLUTION = 24, 64  # of the turntable that is measured: what the menagerie's metrics need, at little cost
FRAME = 256  # pixels, of the picture from the front


class Convergence(Watcher):
    """Every `evaluate_every` steps, before the first and after the last one, the metrics of a small turntable.

    A line of evaluations.jsonl holds step (how many have been taken), prior_calls and seconds (so far, both without
    what evaluations cost), gradient_cosine (of that step, see `gsd.warping.compare`; not before the first) and what
    the metrics say; frames/NNNNNN.png is the view at azimuth 0. Of several particles, the first is measured. A watched
    run is the same run: nothing here draws random numbers or leaves a graph.
    """

    def __init__(self, experiment: Experiment, folder: RunFolder, recorder: Recorder) -> None:
        self.experiment, self.folder, self.recorder = experiment, folder, recorder
        self.scene = first_scene(experiment)
        self.front = _around(experiment.turntable, 1).resized(FRAME, FRAME)

    def begin(self, taken: int) -> None:
        """The scene a new run starts from."""
        if self.experiment.evaluate_every and taken == 0:
            self._evaluate(0, self.recorder.prior_calls)

    def step(self, state: StepState) -> None:
        every, taken = self.experiment.evaluate_every, state.step + 1
        due = every and (taken % every == 0 or taken == self.experiment.steps)
        # A scene that is not finite has nothing to measure; the recorder ends such a run with a sentence.
        if due and all(value.isfinite() for value in self.scene.vitals().values()):
            self._evaluate(taken, self.recorder.prior_calls + state.score.prior_calls, state)

    @torch.no_grad()
    def _evaluate(self, taken: int, prior_calls: int, state: StepState | None = None) -> None:
        clock = self.recorder.clock
        record: dict[str, Any] = {"step": taken, "prior_calls": prior_calls, "seconds": clock.seconds}
        with clock.stopped():
            if state is not None and (cosine := gradient_cosine(state)) is not None:
                record["gradient_cosine"] = cosine
            record |= measured(self.experiment)
            self.folder.write(f"frames/{taken:06d}.png", png(self.scene.render(self.front).rgb[0]))
            self.folder.append([record], "evaluations.jsonl")


def first_scene(experiment: Experiment) -> Representation:
    scene = experiment.representation
    return scene.scenes[0] if isinstance(scene, Particles) else scene


@torch.no_grad()
def measured(experiment: Experiment) -> dict[str, Any]:
    """What the metrics say of a small turntable of the first scene as it is now."""
    cameras = _around(experiment.turntable, VIEWS).resized(RESOLUTION, RESOLUTION)
    return measure(experiment.metrics, render_turntable(first_scene(experiment), cameras), cameras, experiment.prompt)


def _around(cameras: Cameras, views: int) -> Cameras:
    """One turn of so many views from azimuth 0, with the other settings of the given cameras."""
    azimuth = torch.arange(views, device=cameras.azimuth.device) * (360 / views)
    return turned_to(cameras[torch.zeros(views, dtype=torch.long)], azimuth)
