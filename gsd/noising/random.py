"""The baseline: independent noise for every view."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Noising
from gsd.random import Stream
from gsd.types import Geometry, NoiseClaim


class Random(Noising):
    """Fresh N(0, I) noise for every view and step, as in plain score distillation (row a of the paper's Fig. 5)."""

    claims: frozenset[NoiseClaim] = frozenset({"white", "unit"})
    independent = True

    def __call__(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        views, _, height, width = geometry.depth.shape
        return torch.randn(views, channels, height, width, generator=rng.generator()).to(geometry.depth.device)
