"""What the UNet takes by batch, and what its layout and compilation gain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from gsd.backend.device import forget_peak, peak_memory
from gsd.backend.stopwatch import now
from gsd.config import make, options_of
from gsd.experiment import context_of
from gsd.memory import GB
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.protocols import Prior
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.result import Row
from gsd.types import Condition

SWITCHES: list[str] = [name for name in ("channels_last", "compile") if name in options_of(StableDiffusion)]
BATCH = 4  # two views with two branches


def rows(bench: Bench) -> Iterator[Row]:
    off = dict.fromkeys(SWITCHES, False)
    prior = _prior(bench, off)
    for batch in bench.sizes.batches:
        yield _row(bench, prior, f"batch {batch}", batch)
    del prior
    for values in itertools.product((False, True), repeat=len(SWITCHES)):
        bench.clear()
        switched = dict(zip(SWITCHES, values, strict=True))
        name = ", ".join(f"{switch} {'on' if on else 'off'}" for switch, on in switched.items())
        yield _row(bench, _prior(bench, switched), name, BATCH)


def _prior(bench: Bench, switches: dict[str, bool]) -> Prior:
    settings = [f"prior.{name}={str(on).lower()}" for name, on in switches.items()]
    cfg = bench.config("prior=stable_diffusion", *bench.prior, *settings)
    return make(cfg.prior, "prior", context_of(cfg), Prior)


def _row(bench: Bench, prior: Prior, name: str, batch: int) -> Row:
    """Of one call of the denoiser. The first one loads or compiles kernels."""
    side = bench.sizes.network.latents
    x = torch.randn(batch, 4, side, side, generator=torch.Generator().manual_seed(0)).to(bench.device)
    sigma, condition = torch.ones(batch).to(bench.device), Condition(("a corgi",) * batch)
    forget_peak(bench.device)
    began = now(bench.device)
    prior.denoise(x, sigma, condition)
    first = now(bench.device) - began
    milliseconds = bench.milliseconds(lambda: prior.denoise(x, sigma, condition))
    figures = {"ms": milliseconds, "ms per image": milliseconds / batch, "first call, s": first}
    return Row(name, figures | {"GB": peak_memory(bench.device) / GB})
