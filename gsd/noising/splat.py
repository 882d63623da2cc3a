"""From points with values to maps: conditional upsampling, visibility and the discrete integral.

Each function runs a numba kernel on CPU float32 tensors and plain torch elsewhere; `*_torch` are the twins.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.geometry import NEAR, in_bounds, project
from gsd.noising import kernels
from gsd.noising.counter import normal
from gsd.random import Stream
from gsd.types import Cameras


def child_ids(ids: Int[Tensor, " K"], upsample: int) -> Int[Tensor, " M"]:
    """The ids of the `upsample` sub-points of every point, parent by parent."""
    return (ids[:, None] * upsample + torch.arange(upsample, device=ids.device)).flatten()


def sub_values(ids: Int[Tensor, " K"], upsample: int, channels: int, rng: Stream) -> Float[Tensor, "M C"]:
    """Conditional upsampling: N values for each point, m_s = n / sqrt(N) + z_s - mean(z) (Chang et al. 2024, eq. 7).

    Their covariance is the identity and sum_s m_s / sqrt(N) = n. Rows follow child_ids.
    """
    parents = normal(rng.sub("parent").key(), ids, channels)
    children = normal(rng.sub("child").key(), child_ids(ids, upsample), channels).unflatten(0, (len(ids), upsample))
    if _compiled(parents):
        kernels.fill_sub_values(parents.numpy(), children.numpy())
    else:
        children = sub_values_torch(parents, children)
    return children.flatten(0, 1)


def sub_values_torch(parents: Float[Tensor, "K C"], children: Float[Tensor, "K N C"]) -> Float[Tensor, "K N C"]:
    return parents[:, None] / children.shape[1] ** 0.5 + children - children.mean(1, keepdim=True)


def land(
    points: Float[Tensor, "M 3"],
    cameras: Cameras,
    accepts: Bool[Tensor, "V 1 h w"],
    depth: Float[Tensor, "V 1 h w"] | None = None,
    tolerance: float = 0.0,
) -> Int[Tensor, "V M"]:
    """Flat index of the pixel of each view in which a point lands, -1 where it is not seen.

    Seen is what lies in front of the camera, in a pixel that `accepts` it and, if depth is given, within `tolerance`
    of it (camera z, world units). NaN and infinite points are seen by nobody.
    """
    if not _compiled(points):
        return land_torch(points, cameras, accepts, depth, tolerance)
    out = torch.empty(len(cameras), len(points), dtype=torch.int32)
    surface = torch.empty(len(cameras), 0) if depth is None else depth.flatten(1)
    kernels.land(
        points.numpy(),
        cameras.viewmats.numpy(),
        cameras.Ks.numpy(),
        cameras.width,
        cameras.height,
        np.float32(NEAR),
        accepts.flatten(1).numpy(),
        surface.numpy(),
        np.float32(tolerance),
        out.numpy(),
    )
    return out


def land_torch(
    points: Float[Tensor, "M 3"],
    cameras: Cameras,
    accepts: Bool[Tensor, "V 1 h w"],
    depth: Float[Tensor, "V 1 h w"] | None,
    tolerance: float,
) -> Int[Tensor, "V M"]:
    coords, z = project(points, cameras)
    seen = (z > NEAR) & in_bounds(coords, cameras.height, cameras.width)
    x, y = torch.where(seen[..., None], coords, torch.zeros_like(coords)).long().unbind(-1)
    pixel = y * cameras.width + x
    seen &= accepts.flatten(1).gather(1, pixel)
    if depth is not None:
        seen &= (z - depth.flatten(1).gather(1, pixel)).abs() < tolerance
    return torch.where(seen, pixel, -1).int()


class Canvas:
    """V maps that are being painted: the sum of the values in each pixel, and how many there are."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device | str) -> None:
        self.shape = shape
        views, channels, height, width = shape
        self.total = torch.zeros(views, height * width, channels, dtype=dtype, device=device)
        self.count = torch.zeros(views, height * width, dtype=dtype, device=device)

    def add(self, values: Float[Tensor, "M C"], pixel: Int[Tensor, "V M"]) -> None:
        """Add the value of every point to the pixel in which it lands in each view (-1: nowhere)."""
        if _compiled(values):
            kernels.accumulate(values.numpy(), pixel.numpy(), self.total.numpy(), self.count.numpy())
        else:
            self.add_torch(values, pixel)

    def add_torch(self, values: Float[Tensor, "M C"], pixel: Int[Tensor, "V M"]) -> None:
        views, points = (pixel >= 0).nonzero(as_tuple=True)  # dropping the misses first is several times faster
        target = pixel[views, points].long() + views * self.count.shape[1]
        self.count.view(-1).index_add_(0, target, torch.ones_like(values[:1, 0]).expand(len(target)))
        self.total.view(-1, values.shape[1]).index_add_(0, target, values[points])

    def maps(self, fresh: Float[Tensor, "V C h w"]) -> Float[Tensor, "V C h w"]:
        """Eq. 8 of the paper, sum / sqrt(count); `fresh` where no point landed."""
        _, _, height, width = self.shape
        painted = (
            (self.total * self.count.clamp_min(1).rsqrt()[..., None]).transpose(1, 2).unflatten(2, (height, width))
        )
        return torch.where(self.count.view(-1, 1, height, width) > 0, painted, fresh)


def _compiled(x: Tensor) -> bool:
    """Whether the kernels take it: they are compiled for float32 in main memory."""
    return x.device.type == "cpu" and x.dtype == torch.float32
