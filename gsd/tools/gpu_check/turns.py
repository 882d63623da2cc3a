"""Steps of several methods that take turns, so that a machine whose speed drifts treats them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from gsd.backend.stopwatch import now
from gsd.experiment import Experiment
from gsd.loop import Lap, take_step
from gsd.types import Condition


@runtime_checkable
class Take(Protocol):
    """The n-th step of a method; returns the images that its prior denoised."""

    def __call__(self, step: int, lap: Lap | None = None) -> int: ...


def step_of(experiment: Experiment) -> Take:
    return lambda step, lap=None: take_step(experiment, step, lap).score.prior_calls


def usual_step_of(experiment: Experiment, guidance_scale: float) -> Take:
    return lambda step, lap=None: usual_step(experiment, step, guidance_scale)


def usual_step(e: Experiment, step: int, guidance_scale: float) -> int:
    """Score distillation as it is usually written; the same cameras, noise levels and weight as ours.

    Latents are drawn from the encoder's posterior, the two branches of guidance are asked one after the other, and the
    latents are decoded for a picture that the step does not need.
    """
    prior: Any = e.prior
    cameras = e.camera(e.stream("camera", step)).to(e.device)
    sigma = e.sigma(cameras, e.stream("sigma", step))
    level = sigma[:, None, None, None]
    rgb = e.representation.render(cameras).rgb
    posterior = prior.autoencoder.vae.encode((2 * rgb - 1).to(prior.dtype)).latent_dist
    spread = torch.randn(posterior.mean.shape, generator=e.stream("encoder", step).generator())
    z = (posterior.mean + posterior.std * spread.to(posterior.mean)).to(rgb) * prior.autoencoder.scale.to(rgb)
    told = e.prompting(cameras)
    with torch.no_grad():
        noise = torch.randn(z.shape, generator=e.stream("noising", step).generator()).to(z)
        x = z + level * noise
        branches = [prior.denoise(x, sigma, condition) for condition in (Condition(("",) * len(x)), told)]
        without, text = ((x - branch) / level for branch in branches)
        eps = without + guidance_scale * (text - without)
        prior.decode(z)
        gradient = level**2 / (1 + level**2) * (eps - noise)
        target = z - gradient
    (0.5 * torch.nn.functional.mse_loss(z, target, reduction="sum") / len(z)).backward()
    e.representation.step()
    return 2 * len(z)


def measure(methods: Mapping[str, Take], steps: int, device: torch.device, warm_up: int) -> dict[str, dict[str, float]]:
    """Prior calls, and the median ms of a step by the wall clock and by the processor; ratios to the first method.

    The first `warm_up` steps do not count: compilation, caches, the first shape of the scene.

    A ratio is the median of the ratios of steps that were neighbours in time.
    """
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    for step in range(warm_up + steps):
        for name, take in methods.items():
            began, busy = now(device), time.process_time()
            asked = take(step)
            taken[name].append((asked, 1e3 * (now(device) - began), 1e3 * (time.process_time() - busy)))
    calls, wall, cpu = ({name: [row[k] for row in rows[warm_up:]] for name, rows in taken.items()} for k in range(3))
    base = next(iter(methods))
    return {
        name: {
            "prior_calls": statistics.mean(calls[name]),
            "wall_ms": statistics.median(wall[name]),
            "cpu_ms": statistics.median(cpu[name]),
            "wall_ratio": paired(wall[name], wall[base]),
            "cpu_ratio": paired(cpu[name], cpu[base]),
        }
        for name in methods
    }


def paired(mine: list[float], base: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(mine, base, strict=True))
