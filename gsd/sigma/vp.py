"""Noise levels of the variance-preserving schedule that Stable Diffusion was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.noise_levels import TRAIN_STEPS, vp_sigmas
from gsd.protocols import Sigma
from gsd.random import Stream
from gsd.schedule import Schedule, at
from gsd.types import Cameras, Context


@dataclass
class VP(Sigma):
    """t uniform in [t_min, t_max] (fractions of 1000 steps), one per group of views; sigma = sigma(t).

    Both ends are annealed by default. Score distillation usually lowers t_max from 0.98 to 0.5. Lowering t_min from 0.9
    too lets the prompt decide on the pose first: at low noise levels the posterior follows whatever the render already
    resembles. experiment=paper fixes t_min instead.
    """

    context: Context
    t_min: Schedule
    t_max: Schedule

    def __post_init__(self) -> None:
        self.sigmas = vp_sigmas()
        for step in range(self.context.steps):
            self._range(step)

    def _range(self, step: int) -> tuple[int, int]:
        low, high = at(self.t_min, step), at(self.t_max, step)
        if not 0 <= low <= high < 1:
            raise GsdError(
                f"sigma.t_min={low:g} and sigma.t_max={high:g} at step {step}: need 0 <= t_min <= t_max < 1."
            )
        return round(low * TRAIN_STEPS), round(high * TRAIN_STEPS)

    def __call__(self, cameras: Cameras, rng: Stream) -> Float[Tensor, " V"]:
        """sigma of every view, equal within a group."""
        low, high = self._range(rng.step)
        group = cameras.on_cpu.group
        groups = int(group.max()) + 1
        t = torch.randint(low, high + 1, (groups,), generator=rng.generator())
        return self.sigmas[t][group].to(cameras.group.device)
