"""Measuring while a run goes on: evaluations.jsonl and frames/, from which figures of convergence are made."""

from __future__ import annotations

import time
from typing import Any

import torch

from gsd.experiment import Experiment
from gsd.geometry import turned_to
from gsd.particles import Particles
from gsd.results.folder import RunFolder
from gsd.results.measure import measure, render_turntable
from gsd.runner.pictures import png
from gsd.runner.recorder import Recorder
from gsd.types import Cameras, StepState
from gsd.warping.compare import gradient_cosine

VIEWS, RESOLUTION = 24, 64  # of the turntable that is measured: what the menagerie's metrics need, at little cost
FRAME = 256  # pixels, of the picture from the front


class Evaluation:
    """Every `evaluate_every` steps, before the first and after the last one, the metrics of a small turntable.

    A line of evaluations.jsonl holds step (how many have been taken), prior_calls and seconds (so far, both without
    what evaluations cost), gradient_cosine (of that step, see `gsd.warping.compare`; not before the first) and what
    the metrics say; frames/NNNNNN.png is the view at azimuth 0. Of several particles, it is the first. The run is not
    changed by being watched: nothing here draws random numbers or leaves a graph.
    """

    def __init__(self, experiment: Experiment, folder: RunFolder, recorder: Recorder) -> None:
        self.experiment, self.folder, self.recorder = experiment, folder, recorder
        scene = experiment.representation
        self.scene = scene.scenes[0] if isinstance(scene, Particles) else scene
        self.cameras = _around(experiment.turntable, VIEWS).resized(RESOLUTION, RESOLUTION)
        self.front = _around(experiment.turntable, 1).resized(FRAME, FRAME)

    def begin(self) -> None:
        """The scene a new run starts from."""
        if self.experiment.evaluate_every and self.recorder.step == 0:
            self._evaluate(0, self.recorder.prior_calls)

    def add(self, state: StepState) -> None:
        """After the update of the step, before the recorder counts it."""
        every, step = self.experiment.evaluate_every, state.step + 1
        due = every and (step % every == 0 or step == self.experiment.steps)
        # A scene that is not finite has nothing to measure; the recorder ends such a run with a sentence.
        if due and all(value.isfinite() for value in self.scene.vitals().values()):
            self._evaluate(step, self.recorder.prior_calls + state.score.prior_calls, state)

    @torch.no_grad()
    def _evaluate(self, step: int, prior_calls: int, state: StepState | None = None) -> None:
        e, seconds, began = self.experiment, self.recorder.totals["seconds"], time.perf_counter()
        record: dict[str, Any] = {"step": step, "prior_calls": prior_calls, "seconds": seconds}
        if state is not None and (cosine := gradient_cosine(state)) is not None:
            record["gradient_cosine"] = cosine
        record |= measure(e.metrics, render_turntable(self.scene, self.cameras), self.cameras, e.prompt)
        self.folder.write(f"frames/{step:06d}.png", png(self.scene.render(self.front).rgb[0]))
        self.folder.append([record], "evaluations.jsonl")
        self.recorder.leave_out(time.perf_counter() - began)


def _around(cameras: Cameras, views: int) -> Cameras:
    """One turn of so many views, from azimuth 0, like that of the given cameras."""
    azimuth = torch.arange(views, device=cameras.azimuth.device) * (360 / views)
    return turned_to(cameras[torch.zeros(views, dtype=torch.long)], azimuth)
