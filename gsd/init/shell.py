"""A start without any model: points in a soft ball."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt

from gsd.protocols import Init
from gsd.random import Stream
from gsd.types import PointCloud


class Shell(Init):
    """`points` grey points, normally distributed with standard deviation `radius` / 2 and none beyond 2 `radius`."""

    def __init__(self, points: PositiveInt = 3000, radius: PositiveFloat = 0.5) -> None:
        self.points, self.radius = points, radius

    def __call__(self, rng: Stream) -> PointCloud:
        generator = rng.generator()
        xyz = torch.randn(self.points, 3, generator=generator) * (self.radius / 2)
        too_far = xyz.norm(dim=-1, keepdim=True) / (2 * self.radius)
        rgb = 0.5 + 0.1 * (torch.rand(self.points, 3, generator=generator) - 0.5)
        return PointCloud(xyz / too_far.clamp_min(1.0), rgb)
