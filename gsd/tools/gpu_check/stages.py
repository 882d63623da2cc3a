"""The stages of a check, the worthiest first, with what each takes on a large GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gsd.tools.gpu_check import (
    cost,
    machine,
    marked,
    model,
    noise,
    noisings,
    presets,
    rasterizers,
    resume,
    steps,
    twins,
)
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.result import Row


@dataclass(frozen=True)
class Stage:
    name: str
    what: str
    minutes: float  # an estimate
    rows: Callable[[Bench], Iterator[Row]]


STAGES = (
    Stage("machine", "The machine", 0.1, machine.rows),
    Stage("build", "First call of each rasteriser", 0.3, rasterizers.build),
    Stage("rasterizers", "Rasterisers against the CPU's", 0.7, rasterizers.rows),
    Stage("noisings", "Noise maps against the CPU's", 0.5, noisings.rows),
    Stage("twins", "Other kernels against the CPU's", 0.3, twins.rows),
    Stage("steps", "Whole steps against the CPU's", 1.0, steps.rows),
    Stage("cost", "Steps of Stable Diffusion's size", 1.5, cost.rows),
    Stage("resume", "Killed and continued", 0.6, resume.rows),
    Stage("noise", "Noise against what it claims", 0.5, noise.rows),
    Stage("model", "The UNet: batch, layout, compilation", 1.0, model.rows),
    Stage("presets", "Memory of the presets", 1.0, presets.rows),
    Stage("tests", "Tests marked gpu", 0.7, marked.rows),
)
