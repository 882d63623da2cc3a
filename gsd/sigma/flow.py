"""Noise levels of rectified flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Prior, Sigma
from gsd.random import Stream
from gsd.schedule import Schedule, Within, at
from gsd.sigma.parts.ends import refuse_descending
from gsd.types import Cameras, Context

Part = Annotated[Schedule, Within(0.001, 0.999)]


@dataclass
class Flow(Sigma):
    """t uniform in [t_min, t_max], one per group of views; sigma = shift t / (1 - t).

    A rectified flow sees x_t = (1 - t) z + t n, of which sigma = t / (1 - t). `shift` s is that of Stable Diffusion 3
    (Esser et al. 2024, section 5.3.2): large images need more noise, so t becomes s t / (1 + (s - 1) t), which
    multiplies sigma by s; null: as the prior's own sampler does. By default the ends of the range are the noise levels
    of sigma=vp.
    """

    context: Context
    t_min: Part
    t_max: Part
    shift: Annotated[float, Interval(ge=0.01, le=100)] | None = None

    def __post_init__(self) -> None:
        refuse_descending(self.t_min, self.t_max, self.context.steps)
        self.factor = self.shift or 1.0

    def attach(self, prior: Prior) -> None:
        self.factor = self.shift or prior.shift()

    def __call__(self, cameras: Cameras, rng: Stream) -> Float[Tensor, " V"]:
        """sigma of every view, equal within a group."""
        group = cameras.on_cpu.group
        drawn = torch.rand(int(group.max()) + 1, generator=rng.generator(), dtype=torch.float64)
        low, high = (at(schedule, rng.step) for schedule in (self.t_min, self.t_max))
        t = low + (high - low) * drawn
        return (self.factor * t / (1 - t)).float()[group].to(cameras.group.device)
