"""Noise levels of the variance-preserving schedule that Stable Diffusion was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.noise_levels import TRAIN_STEPS, vp_sigmas
from gsd.protocols import Prior, Sigma
from gsd.random import Stream
from gsd.schedule import Schedule, Within, at
from gsd.sigma.parts.ends import refuse_descending
from gsd.types import Cameras, Context

Part = Annotated[Schedule, Within(0, (TRAIN_STEPS - 1) / TRAIN_STEPS)]


@dataclass
class VP(Sigma):
    """t uniform in [t_min, t_max] (fractions of the training steps), one per group of views; sigma = sigma(t).

    The steps are those that the prior was trained at. Priors without such a schedule get Stable Diffusion's, rectified
    flows with their shift: what noise hides of a form depends on the number of latents that show it.
    Both ends are annealed by default. Score distillation usually lowers t_max from 0.98 to 0.5. Lowering t_min from 0.9
    too lets the prompt decide on the pose first: at low noise levels the posterior follows whatever the render already
    resembles. experiment=paper fixes t_min instead.
    """

    context: Context
    t_min: Part
    t_max: Part

    def __post_init__(self) -> None:
        self.sigmas = vp_sigmas()
        refuse_descending(self.t_min, self.t_max, self.context.steps)

    def attach(self, prior: Prior) -> None:
        self.sigmas = prior.log_sigmas().exp().float().cpu()

    def __call__(self, cameras: Cameras, rng: Stream) -> Float[Tensor, " V"]:
        """sigma of every view, equal within a group."""
        last = len(self.sigmas) - 1
        low, high = (min(round(at(part, rng.step) * len(self.sigmas)), last) for part in (self.t_min, self.t_max))
        group = cameras.on_cpu.group
        groups = int(group.max()) + 1
        t = torch.randint(low, high + 1, (groups,), generator=rng.generator())
        return self.sigmas[t][group].to(cameras.group.device)
