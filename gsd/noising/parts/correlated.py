"""What the noisings that correlate views have in common: the blend with fresh noise."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.protocols import Noising
from gsd.random import Stream
from gsd.ranges import Fraction
from gsd.types import Geometry, NoiseClaim


class Correlated(Noising):
    """Maps that depend on each other, blended with fresh noise: sqrt_beta maps + sqrt(1 - sqrt_beta^2) fresh.

    Both are N(0, I) and independent, so the blend is N(0, I) at every sqrt_beta in [0, 1] (EquiVDM, Liu and Vahdat
    2025, mixes so); correlations between views are scaled by sqrt_beta^2.
    """

    claims: frozenset[NoiseClaim] = frozenset({"white", "unit", "shared"})

    def __init__(self, sqrt_beta: Fraction = 1.0) -> None:
        self.sqrt_beta = sqrt_beta
        if sqrt_beta == 0:
            self.claims = frozenset({"white", "unit"})

    @torch.no_grad()
    def __call__(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        if self.sqrt_beta == 0:
            return self._fresh(geometry, channels, rng)
        maps = self.maps(geometry, channels, rng)
        if self.sqrt_beta == 1:
            return maps
        return self.sqrt_beta * maps + (1 - self.sqrt_beta**2) ** 0.5 * self._fresh(geometry, channels, rng)

    @abstractmethod
    def maps(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        """The method itself."""

    @staticmethod
    def _fresh(geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        views, _, height, width = geometry.depth.shape
        generator = rng.sub("blend").generator()
        return torch.randn(views, channels, height, width, generator=generator).to(geometry.depth.device)
