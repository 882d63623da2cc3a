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


def sub_values(ids: Int[Tensor, " K"], upsample: int, channels: int, rng: Stream) -> Float[Tensor, "K N C"]:
    """Conditional upsampling: N values for each point, m_s = n / sqrt(N) + z_s - mean(z) (Chang et al. 2024, eq. 7).

    Their covariance is the identity and sum_s m_s / sqrt(N) = n.
    """
    parents = normal(rng.sub("parent").key(), ids, channels)
    children = normal(rng.sub("child").key(), child_ids(ids, upsample), channels).unflatten(0, (len(ids), upsample))
    if not _compiled(parents):
        return sub_values_torch(parents, children)
    kernels.fill_sub_values(parents.numpy(), children.numpy())
    return children


def sub_values_torch(parents: Float[Tensor, "K C"], children: Float[Tensor, "K N C"]) -> Float[Tensor, "K N C"]:
    return parents[:, None] / children.shape[1] ** 0.5 + children - children.mean(1, keepdim=True)


def land(
    points: Float[Tensor, "K 3"],
    offsets: Float[Tensor, "K N 3"],
    cameras: Cameras,
    accepts: Bool[Tensor, "V 1 h w"],
    depth: Float[Tensor, "V 1 h w"] | None = None,
    tolerance: float = 0.0,
) -> tuple[Int[Tensor, "V K N"], Int[Tensor, " S"]]:
    """Where the sub-points points[k] + offsets[k, s] land in each view, and which points have any that does.

    The place is the flat index of the pixel, -1 where the sub-point is not seen. Seen is what lies in front of the
    camera, in a pixel that `accepts` it and, if depth is given, within `tolerance` of it (camera z, world units). NaN
    and infinite points are seen by nobody.
    """
    if not _compiled(points):
        return land_torch(points, offsets, cameras, accepts, depth, tolerance)
    pixel = torch.empty(len(cameras), *offsets.shape[:2], dtype=torch.int32)
    seen = torch.zeros(len(points), dtype=torch.bool)
    surface = torch.empty(len(cameras), 0) if depth is None else depth.flatten(1)
    kernels.land(
        points.numpy(),
        offsets.numpy(),
        cameras.viewmats.numpy(),
        cameras.Ks.numpy(),
        cameras.width,
        cameras.height,
        np.float32(NEAR),
        accepts.flatten(1).numpy(),
        surface.numpy(),
        np.float32(tolerance),
        pixel.numpy(),
        seen.numpy(),
    )
    return pixel, seen.nonzero()[:, 0]


def land_torch(
    points: Float[Tensor, "K 3"],
    offsets: Float[Tensor, "K N 3"],
    cameras: Cameras,
    accepts: Bool[Tensor, "V 1 h w"],
    depth: Float[Tensor, "V 1 h w"] | None,
    tolerance: float,
) -> tuple[Int[Tensor, "V K N"], Int[Tensor, " S"]]:
    coords, z = project((points[:, None] + offsets).flatten(0, 1), cameras)
    seen = (z > NEAR) & in_bounds(coords, cameras.height, cameras.width)
    x, y = torch.where(seen[..., None], coords, torch.zeros_like(coords)).long().unbind(-1)
    pixel = y * cameras.width + x
    seen &= accepts.flatten(1).gather(1, pixel)
    if depth is not None:
        seen &= (z - depth.flatten(1).gather(1, pixel)).abs() < tolerance
    landed = torch.where(seen, pixel, -1).int().unflatten(1, offsets.shape[:2])
    return landed, (landed >= 0).any(2).any(0).nonzero()[:, 0]


def near_cone(directions: Float[Tensor, "K 3"], axes: Float[Tensor, "V 3"], cosine: float) -> Int[Tensor, " S"]:
    """Which unit directions lie within the cone of the given cosine about any of the axes."""
    if not _compiled(directions):
        return (axes @ directions.T > cosine).any(0).nonzero()[:, 0]
    out = torch.zeros(len(directions), dtype=torch.bool)
    kernels.near_cone(directions.numpy(), axes.numpy(), np.float32(cosine), out.numpy())
    return out.nonzero()[:, 0]


class Canvas:
    """V maps that are being painted: the sum of the values in each pixel, and how many there are."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device | str) -> None:
        self.shape = shape
        views, channels, height, width = shape
        self.total = torch.zeros(views, channels, height * width, dtype=dtype, device=device)
        self.count = torch.zeros(views, height * width, dtype=dtype, device=device)

    def add(self, values: Float[Tensor, "S N C"], chosen: Int[Tensor, " S"], pixel: Int[Tensor, "V K N"]) -> None:
        """Add the values of the chosen points' sub-points to the pixels in which they land in each view."""
        if _compiled(values):
            kernels.accumulate(values.numpy(), chosen.numpy(), pixel.numpy(), self.total.numpy(), self.count.numpy())
        else:
            self.add_torch(values, chosen, pixel)

    def add_torch(self, values: Float[Tensor, "S N C"], chosen: Int[Tensor, " S"], pixel: Int[Tensor, "V K N"]) -> None:
        flat, place = values.flatten(0, 1), pixel[:, chosen].flatten(1)
        views, points = (place >= 0).nonzero(as_tuple=True)  # dropping the misses first is several times faster
        target = place[views, points].long() + views * self.count.shape[1]
        self.count.view(-1).index_add_(0, target, torch.ones_like(flat[:1, 0]).expand(len(target)))
        sums = torch.zeros(self.count.numel(), flat.shape[1], dtype=flat.dtype, device=flat.device)
        sums.index_add_(0, target, flat[points])
        self.total += sums.unflatten(0, self.count.shape).transpose(1, 2)

    def maps(self, rng: Stream) -> Float[Tensor, "V C h w"]:
        """Eq. 8 of the paper, sum / sqrt(count); fresh noise where no point landed. Ends the painting."""
        if not _compiled(self.total):
            return self.maps_torch(rng)
        empty = torch.empty(self.count.numel(), dtype=torch.int64)
        empty = empty[: kernels.normalise(self.total.numpy(), self.count.numpy(), empty.numpy())]
        kernels.fill(self.total.numpy(), empty.numpy(), normal(rng.key(), empty, self.shape[1]).numpy())
        return self.total.view(self.shape)

    def maps_torch(self, rng: Stream) -> Float[Tensor, "V C h w"]:
        maps = self.total * self.count.clamp_min(1).rsqrt()[:, None]
        view, pixel = (self.count == 0).nonzero(as_tuple=True)
        fresh = normal(rng.key(), view * self.count.shape[1] + pixel, self.shape[1])
        maps.transpose(1, 2)[view, pixel] = fresh.to(maps.dtype)
        return maps.view(self.shape)


def _compiled(x: Tensor) -> bool:
    """Whether the kernels take it: they are compiled for float32 in main memory."""
    return x.device.type == "cpu" and x.dtype == torch.float32
