"""The loop: one generator that yields what happened in each step. Logging, metrics and checkpoints consume it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from gsd.experiment import Experiment
from gsd.geometry import geometry_at
from gsd.types import Noised, StepState

LAST = 32  # steps whose views tell what of the scene can be seen
Lap = Callable[[str], None]  # called with the name of each stage when it ends; profile=true measures with it


def optimise(experiment: Experiment, start: int = 0, lap: Lap | None = None) -> Iterator[StepState]:
    """Take the steps `start` ... `experiment.steps` - 1.

    Args:
        experiment: from `gsd.build`; its scene (and what its guidance trains) changes in place.
        start: the first step, for a scene that has been restored from a checkpoint.
        lap: called with the name of each stage of a step when it ends, and with "record" when the caller has used the
            state and asks for the next one.

    Yields:
        The state of each step after its update has been applied.

    Example:
        >>> for state in gsd.optimise(experiment):
        ...     print(state.step, float(state.terms["score"]))
    """
    lap = lap or _unwatched
    for step in range(start, experiment.steps):
        yield take_step(experiment, step, lap)
        lap("record")


def take_step(e: Experiment, step: int, lap: Lap | None = None) -> StepState:
    """One step of score distillation (eq. 10 and 13): render, noise, ask the prior, back-propagate, update."""
    lap = lap or _unwatched
    drawn = e.camera(e.stream("camera", step))
    condition = e.prompting(drawn)  # while the cameras are still on the CPU, to avoid a host sync
    cameras = drawn.to(e.device)
    sigma = e.sigma(cameras, e.stream("sigma", step))
    lap("camera")
    render = e.representation.render(cameras)
    scene = e.representation.scene()
    lap("render")
    z = e.prior.encode(render.rgb)
    lap("encode")
    geometry = geometry_at(scene, render, cameras, z.shape[2], z.shape[3])
    noise = e.noising(geometry, z.shape[1], e.stream("noising", step))
    lap("noise")
    condition = replace(condition, cameras=cameras, background=render.background)
    score = e.guidance(e.prior, Noised(z.detach(), noise, sigma, condition, e.stream("guidance", step)))
    lap("prior")
    state = StepState(step, cameras, geometry, z, noise, sigma, score)
    raw = {"score": (score.gradient * z).sum() / len(z)}
    raw |= {name: loss(state) for name, loss in e.losses.items() if e.shares.wants(name, step)}
    terms, shares = e.shares(raw, step, e.representation.shape_parameters())
    total = torch.stack(list(terms.values())).sum()
    lap("loss")
    total.backward()
    lap("backward")
    e.representation.step()
    if step + 1 == e.steps:
        e.representation.finish([e.camera(e.stream("camera", k)).to(e.device) for k in range(e.steps)[-LAST:]])
    lap("optimiser")
    return replace(state, terms=terms, shares=shares)


def _unwatched(stage: str) -> None:
    pass
