"""Noise levels of the variance-preserving schedule that Stable Diffusion was trained on."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.noise_levels import TRAIN_STEPS, vp_sigmas
from gsd.protocols import Sigma
from gsd.random import Stream
from gsd.schedule import Schedule, at
from gsd.types import Cameras, Context


class VP(Sigma):
    """t uniform in [t_min, t_max] (fractions of 1000 steps), one for all views of a group; sigma = sigma(t).

    The usual annealing of score distillation lowers t_max from 0.98 to 0.5. Lowering t_min too, from 0.9, lets the
    prompt decide on the pose before the picture at hand does: at low noise levels the posterior follows whatever the
    render already resembles.
    """

    def __init__(self, context: Context, t_min: Schedule, t_max: Schedule) -> None:
        self.t_min, self.t_max = t_min, t_max
        self.sigmas = vp_sigmas()
        for step in range(context.steps):
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
        groups = int(cameras.group.max()) + 1
        t = torch.randint(low, high + 1, (groups,), generator=rng.generator())
        return self.sigmas[t].to(cameras.group.device)[cameras.group]
