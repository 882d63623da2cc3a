"""The background: a sphere at infinity, whose image depends on a camera's rotation alone."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.noising.points.canvas import Cloud, near_cone
from gsd.types import Cameras


def without_translation(cameras: Cameras) -> Cameras:
    """The same cameras at the origin."""
    viewmats = cameras.viewmats.clone()
    viewmats[:, :3, 3] = 0
    return replace(cameras, viewmats=viewmats)


def sphere(cameras: Cameras, points: int, upsample: int, key: int) -> Cloud:
    """Those of `points` evenly spread directions that some view may see, with sub-points half a spacing around each."""
    directions, frames = _directions(points, cameras.viewmats.device)
    corner = math.hypot(cameras.width, cameras.height) / 2 / float(cameras.Ks[:, 0, 0].min())
    cone = min(math.atan(corner) + 2 * _spacing(points), math.pi)
    ahead = near_cone(directions, cameras.viewmats[:, 2, :3].to(directions.dtype), math.cos(cone))
    return Cloud(directions.index_select(0, ahead), frames.index_select(0, ahead), ahead, upsample, key)


def _spacing(points: int) -> float:
    """Mean angle between neighbours among `points` directions, radians."""
    return math.sqrt(4 * math.pi / points)


@lru_cache(maxsize=4)
def _directions(points: int, device: torch.device) -> tuple[Float[Tensor, "K 3"], Float[Tensor, "K 3 3"]]:
    """Fibonacci directions, which cover equal areas, and the frames that place their sub-points along the sphere."""
    k = torch.arange(points, dtype=torch.float64) + 0.5
    z = 1 - 2 * k / points
    angle = math.pi * (1 + 5**0.5) * k
    radius = (1 - z * z).sqrt()
    directions = torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)
    tangent = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None]
    return directions.float().to(device), (0.5 * _spacing(points) * tangent).float().to(device)
