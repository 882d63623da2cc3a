"""The loop: one generator that yields what happened in each step. Logging, metrics and checkpoints consume it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from gsd.experiment import Experiment
from gsd.schedule import at
from gsd.types import StepState


def optimise(experiment: Experiment, start: int = 0) -> Iterator[StepState]:
    """Run steps `start` ... `experiment.steps` - 1; a state is yielded after its update has been applied."""
    for step in range(start, experiment.steps):
        yield take_step(experiment, step)


def take_step(e: Experiment, step: int) -> StepState:
    """One step of score distillation (eq. 10 and 13): render, noise, ask the prior, back-propagate, update."""
    cameras = e.camera(e.stream("camera", step)).to(e.device)
    sigma = e.sigma(cameras, e.stream("sigma", step))
    render = e.representation.render(cameras)
    scene = e.representation.scene()
    z = e.prior.encode(render.rgb)
    views, channels, height, width = z.shape
    noise = e.noising(scene, render, cameras, (views, channels, height, width), e.stream("noising", step))
    score = e.guidance(e.prior, z.detach(), noise, sigma, e.prompting(cameras), e.stream("guidance", step))
    state = StepState(step, cameras, render, scene, z, noise, sigma, score)
    terms = {"score": (score.gradient * z).sum() / views}
    for name, loss in e.losses.items():
        weight = at(loss.weight, step)
        if weight != 0:
            terms[name] = weight * loss(state)
    torch.stack(list(terms.values())).sum().backward()
    e.representation.step()
    return replace(state, terms=terms)
