"""What cameras see of a cloud of points, as the depth picture that a ControlNet reads."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from gsd.geometry import NEAR, project
from gsd.types import Cameras


@torch.no_grad()
def cloud_depth(points: Float[Tensor, "N 3"], cameras: Cameras, radius: float, fill: int) -> Float[Tensor, "V 1 H W"]:
    """Inverse depth in [0, 1] at the resolution of the cameras: the nearest point 1, the farthest and the empty 0.

    Every point is a disc of `radius`, in halves of the image's height whatever its distance, as in PyTorch3D; discs in
    front hide those behind. Holes narrower than 2 `fill` pixels take the nearest surface around them.
    """
    xy, z = project(points, cameras)
    inverse = splat(xy, z, (cameras.height, cameras.width), radius * cameras.height / 2)
    return normalised(closed(inverse, fill) if fill else inverse)[:, None]


def splat(
    xy: Float[Tensor, "V N 2"], z: Float[Tensor, "V N"], size: tuple[int, int], radius: float
) -> Float[Tensor, "V H W"]:
    """The z-buffer of discs of `radius` pixels, as 1 / z; 0 where there is none.

    A pixel belongs to a disc if its centre does; the pixel that holds a point always does.
    """
    height, width = size
    inverse = torch.where(z > NEAR, 1 / z, 0.0)
    within, outside = xy - xy.floor(), height * width
    column, row = xy.floor().unbind(-1)
    buffer = z.new_zeros(len(z), height * width + 1)  # the last takes what is outside
    for dx, dy in _offsets(radius):
        x, y = column + dx, row + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (z > NEAR)
        if dx or dy:
            u, v = within.unbind(-1)
            inside &= (dx + 0.5 - u) ** 2 + (dy + 0.5 - v) ** 2 <= radius**2
        buffer.scatter_reduce_(1, torch.where(inside, y * width + x, outside).long(), inverse, "amax")
    return buffer[:, :-1].unflatten(1, size)


def _offsets(radius: float) -> list[tuple[int, int]]:
    """From the pixel that holds a disc's centre to all that the disc can reach: 0.5 pixels from its edge, or more."""
    far = range(-math.floor(radius + 0.5), math.floor(radius + 0.5) + 1)
    reach = [max(0.0, abs(d) - 0.5) for d in far]  # to the pixel's centre along one axis, from the nearest edge
    pairs = [(dx, dy) for dx, u in zip(far, reach, strict=True) for dy, v in zip(far, reach, strict=True)]
    nearest = [u * u + v * v for u in reach for v in reach]
    return [pair for pair, square in zip(pairs, nearest, strict=True) if square <= radius**2] or [(0, 0)]


def closed(inverse: Float[Tensor, "V H W"], fill: int) -> Float[Tensor, "V H W"]:
    """Morphological closing by a square of `fill` pixels to each side: gaps are filled, the outline stays."""
    width, margin = 2 * fill + 1, 2 * fill
    near = max_pool2d(pad(inverse, [margin] * 4), width, 1, fill)  # with a margin: an edge of the picture is no surface
    open_still = max_pool2d((near == 0).to(inverse), width, 1, fill) > 0
    near, open_still = (x[:, margin:-margin, margin:-margin] for x in (near, open_still))
    return torch.where((inverse > 0) | open_still, inverse, near)


def normalised(inverse: Float[Tensor, "V H W"]) -> Float[Tensor, "V H W"]:
    """Every view's values above 0 spread over [0, 1]."""
    there = inverse > 0
    low = torch.where(there, inverse, torch.inf).amin((1, 2), keepdim=True)
    high = inverse.amax((1, 2), keepdim=True)
    spread = (high - low).clamp(min=torch.finfo(inverse.dtype).tiny)
    return torch.where(there & (high > low), (inverse - low) / spread, there.to(inverse))
