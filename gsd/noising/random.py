"""The baseline: independent noise for every view."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.random import Stream
from gsd.types import Cameras, NoiseClaim, Render, Scene


class Random:
    """Fresh N(0, I) noise for every view and step, as in plain score distillation (row a of the paper's Fig. 5)."""

    claims: frozenset[NoiseClaim] = frozenset({"white", "unit"})

    def __call__(
        self, scene: Scene, render: Render, cameras: Cameras, shape: tuple[int, int, int, int], rng: Stream
    ) -> Float[Tensor, "V C h w"]:
        device = render.rgb.device
        return torch.randn(shape, generator=rng.generator(device), device=device)
