"""A start without any model: points in a soft ball."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gsd.protocols import Init
from gsd.random import Stream
from gsd.ranges import Count, Length
from gsd.types import PointCloud


@dataclass
class Shell(Init):
    """`points` grey points, normally distributed with standard deviation `radius` / 2 and none beyond 2 `radius`."""

    points: Count = 8000
    radius: Length = 0.5

    def __call__(self, rng: Stream) -> PointCloud:
        generator = rng.generator()
        xyz = torch.randn(self.points, 3, generator=generator) * (self.radius / 2)
        too_far = xyz.norm(dim=-1, keepdim=True) / (2 * self.radius)
        rgb = 0.5 + 0.1 * (torch.rand(self.points, 3, generator=generator) - 0.5)
        return PointCloud(xyz / too_far.clamp_min(1.0), rgb)
