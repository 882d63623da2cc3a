"""Trackers follow the run folder. The folder is the truth; a tracker is told what is in it and can do it no harm."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gsd.errors import reason
from gsd.experiment import Experiment
from gsd.rasterizer.ply import SH_C0, load_ply
from gsd.results.folder import RunFolder
from gsd.results.owner import stored
from gsd.results.provenance import commit
from gsd.results.reading import finite
from gsd.results.runs import Run
from gsd.results.sweep_folder import SweepFolder
from gsd.results.table import NO_SETTINGS
from gsd.results.tail import Tail
from gsd.runner.recorder import BINS, SIGMAS
from gsd.runner.watch import Clock, Watcher
from gsd.types import TrackedResults, TrackedRow, TrackedRun
from gsd.watching import Logger, Tracker

SOLID = 0.1  # opacity: a point of a cloud has none, so what is less is left out of it
POINTS = 100_000  # of a cloud in a browser


class Mirror(Watcher):
    """Tells the trackers of a run what is in its folder. The time that they take is not the run's.

    They are told only what a checkpoint holds. So a step is told once, whatever interrupts the run, and is never taken
    back. A tracker that raises is named in a line on stderr and left alone from then on.
    """

    def __init__(self, experiment: Experiment, folder: RunFolder, clock: Clock, in_sweep: bool) -> None:
        self.experiment, self.folder, self.clock, self.in_sweep = experiment, folder, clock, in_sweep
        self.history = History(folder)
        self.trackers: dict[str, Tracker] = {}
        self._entered: dict[str, AbstractContextManager[Tracker]] = {}

    def __enter__(self) -> Mirror:
        with self.clock.stopped():
            for name, logger in self.experiment.loggers.items():
                with self._guarded(name):
                    self._enter(name, logger)
        return self

    def _enter(self, name: str, logger: Logger) -> None:
        manager = logger(described(self.experiment, self.folder, self.in_sweep))
        self.trackers[name] = manager.__enter__()
        self._entered[name] = manager

    def checkpoint(self) -> None:
        with self.clock.stopped():
            self._tell()

    def done(self, summary: dict[str, Any]) -> None:
        self._tell()  # a run continued after its last step makes no further checkpoint
        for name, tracker in list(self.trackers.items()):
            with self._guarded(name):
                tracker.finish(self._results(summary))

    def _tell(self) -> None:
        """What has come into the folder since the last call; a checkpoint must hold all of it."""
        rows = self.history.new() if self.trackers else []
        for name, tracker in list(self.trackers.items()):
            with self._guarded(name):
                unknown = [row for row in rows if row.number >= tracker.known]
                if unknown:
                    tracker.log(unknown)

    def __exit__(self, *error: Any) -> None:
        for name in list(self._entered):
            with self._guarded(name):
                self._entered.pop(name).__exit__(*error)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            what = f"logger={name} has failed ({type(error).__name__}: {reason(error)})"
            print(f"{what} and is left alone from here on; {self.folder.path} has everything.", file=sys.stderr)
            self.trackers.pop(name, None)
            manager = self._entered.pop(name, None)
            if manager is not None:
                with suppress(Exception):
                    manager.__exit__(type(error), error, error.__traceback__)

    def _results(self, summary: dict[str, Any]) -> TrackedResults:
        scene = self.folder / "scene.ply"
        whole = scene if scene.exists() else self.folder / "checkpoint.pt"
        return TrackedResults(
            number=self.history.count,
            step=self.experiment.steps,
            values={key: value for key, value in summary.items() if finite(value) and key != "seed"},
            video=self.folder / "turntable.mp4",
            points=cloud(scene) if scene.exists() else None,
            curves=_curves(summary),
            files=(whole, self.folder / "config.yaml", self.folder / "summary.json"),
        )


class History:
    """The lines of a run folder as rows, in the order in which they came about: measured after N steps, then step N.

    A checkpoint holds the lines up to a step and a continued run adds the others anew, so that a row keeps its number.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.count = folder, 0
        names = ("histograms.jsonl", "evaluations.jsonl", "metrics.jsonl")
        self._histograms, self._evaluations, self._metrics = (Tail(folder / name) for name in names)

    def new(self) -> list[TrackedRow]:
        """The rows since the last call."""
        noise = {line["step"]: line["noise"] for line in self._histograms.new()}
        found = [((line["step"], 0), self._evaluation(line)) for line in self._evaluations.new()]
        found += [((line["step"], 1), self._step(line, noise)) for line in self._metrics.new()]
        rows = [
            TrackedRow(self.count + place, **content)
            for place, (_, content) in enumerate(sorted(found, key=lambda each: each[0]))
        ]
        self.count += len(rows)
        return rows

    def _step(self, line: dict[str, Any], noise: dict[int, list[int]]) -> dict[str, Any]:
        step = line["step"]
        edges = np.linspace(-SIGMAS, SIGMAS, BINS + 1)
        return {
            "values": line,
            "pictures": self._picture("pictures/strip", f"strips/{step:06d}.png"),
            "histograms": {"noise/histogram": (np.array(noise[step]), edges)} if step in noise else {},
        }

    def _evaluation(self, line: dict[str, Any]) -> dict[str, Any]:
        cost = ("step", "prior_calls", "seconds")
        measured = {f"eval/{key}": value for key, value in line.items() if key not in cost and finite(value)}
        return {
            "values": {key: line[key] for key in cost} | measured,
            "pictures": self._picture("pictures/front", f"frames/{line['step']:06d}.png"),
        }

    def _picture(self, name: str, file: str) -> dict[str, Path]:
        path = self.folder / file
        return {name: path} if path.exists() else {}


def described(experiment: Experiment, folder: RunFolder, in_sweep: bool) -> TrackedRun:
    """The run of this process and folder in a tracker's terms."""
    run = Run(folder.path)
    chosen = {
        group: ",".join(option) or "none" if isinstance(option, list) else option or "none"
        for group, option in run.choices.items()
    }
    preset = None if chosen["experiment"] == "none" else chosen["experiment"]
    names = [o for o in _typed(run, in_sweep) if o.lstrip("+~").split("=")[0].split(".")[0] not in NO_SETTINGS]
    return TrackedRun(
        id=owner.signature if (owner := stored(folder.path)) else run.signature,
        name=" ".join(names) or experiment.prompt,
        group=folder.path.parent.name if in_sweep else None,
        job=preset or "run",
        tags=tuple(filter(None, (preset, commit()))),
        config=chosen | {key: run.config[key] for key in ("prompt", "seed", "steps")} | {"config": run.config},
        folder=folder.path,
    )


def _typed(run: Run, in_sweep: bool) -> list[str]:
    """The overrides of a run; of one in a sweep, those that the sweep varies."""
    sweeps = SweepFolder(run.path.parent).sweeps if in_sweep else []
    jobs = [sweep.jobs[run.path.name] for sweep in sweeps if run.path.name in sweep.jobs]
    return jobs[-1].overrides if jobs else run.overrides


def cloud(scene: Path) -> Float[np.ndarray, "N 6"]:
    """The centres and colours of the Gaussians of scene.ply: x y z in world units, r g b in [0, 255]."""
    splats = load_ply(scene)
    rgb = (0.5 + SH_C0 * splats.sh[:, 0]).clamp(0, 1) * 255
    points = np.concatenate([splats.means.numpy(), rgb.round().numpy()], 1)
    solid = splats.opacity_logits.sigmoid().numpy() > SOLID
    points = points[solid] if solid.any() else points
    return points[:: -(-len(points) // POINTS)]


def _curves(summary: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Fig. 12, where clip_view has measured it."""
    first = summary.get("particles", [summary])[0]
    lines = {f"{word} view": first[f"clip_{word}"] for word in ("front", "side", "back") if f"clip_{word}" in first}
    return {"clip_view": lines} if lines else {}
