"""The scene of a run as its noising sees it: at its checkpoint or, by taking the run's steps again, at any step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from gsd.backend.device import pick_device
from gsd.config import make
from gsd.errors import GsdError
from gsd.experiment import Experiment, build
from gsd.geometry import geometry_at
from gsd.loop import optimise
from gsd.noising.check.sight import Sight
from gsd.particles import Particles
from gsd.protocols import Camera, Prior, Representation
from gsd.random import Stream
from gsd.results.measure import render_turntable
from gsd.results.scene import load
from gsd.results.trust import configuration
from gsd.types import Cameras, Context, Geometry


def sights(folder: Path, steps: Sequence[int] = (), device: torch.device | None = None) -> Iterator[Sight]:
    """The first scene of a run after so many steps, in ascending order; by default at its checkpoint.

    A run keeps its last checkpoint. Other steps are taken again from the start, which makes the same scenes and takes
    as long as the run did; it is one scene that goes on, so look at each before asking for the next.

    device: where they are taken; None: where the run's were.

    Raises:
        GsdError: for no run folder, no checkpoint, or steps that the run does not have.
    """
    cfg = configuration(folder)
    wrong = [step for step in steps if not 0 <= step <= cfg.steps]
    if wrong:
        raise GsdError(f"--at {wrong[0]}: {folder} has {cfg.steps} steps; choose from 0 to {cfg.steps}.")
    if device is not None:
        OmegaConf.update(cfg, "device", str(device), force_add=True)
    if steps:
        yield from _again(cfg, folder, sorted(set(steps)))
        return
    there = pick_device(cfg.device)
    scene, taken = load(folder, 0, there)
    context = Context(cfg.prompt, there, cfg.steps, cfg.seed)
    camera, prior = make(cfg.camera, "camera", context, Camera), make(cfg.prior, "prior", context, Prior)
    yield _sight(str(folder), taken, camera, prior, scene, cfg.seed, there)


def _again(cfg: Any, folder: Path, steps: Sequence[int]) -> Iterator[Sight]:
    experiment = build(bare(cfg))
    states, taken = optimise(experiment), 0
    for step in steps:
        taken += sum(1 for _ in islice(states, step - taken))
        yield sight(experiment, step, str(folder))


def bare(cfg: Any) -> Any:
    """The config without what only watches a run."""
    return OmegaConf.create({**cfg, "viewer": None, "logger": {}, "metric": {}})


def sight(experiment: Experiment, taken: int, name: str) -> Sight:
    """The first scene of an experiment that has taken so many steps."""
    scene = experiment.representation
    scene = scene.scenes[0] if isinstance(scene, Particles) else scene
    return _sight(name, taken, experiment.camera, experiment.prior, scene, experiment.seed, experiment.device)


def _sight(
    name: str, taken: int, camera: Camera, prior: Prior, scene: Representation, seed: int, device: torch.device
) -> Sight:
    first = camera(Stream(seed, "camera", taken))[:1]
    with torch.no_grad():
        height, width = prior.encode(torch.zeros(1, 3, first.height, first.width, device=device)).shape[2:]

    @torch.no_grad()
    def look(cameras: Cameras) -> Geometry:
        there = cameras.to(device)
        return geometry_at(scene.scene(), render_turntable(scene, there), there, height, width)

    return Sight(name, taken, first, look, Stream(seed, "noising", taken))
