"""From points with values to maps: conditional upsampling, visibility and the discrete integral.

Each function runs a numba kernel on CPU float32 tensors and plain torch elsewhere; `*_torch` are the twins.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
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
    depth: Float[Tensor, "V 1 h w"] | None = None,
    tolerance: float = 0.0,
) -> Int[Tensor, "V M"]:
    """Flat index of the pixel of each view in which a point lands, -1 where it is not seen.

    Seen is what lies in front of the camera, in the image and, if depth is given, within `tolerance` of it (camera z,
    world units). NaN and infinite points are seen by nobody.
    """
    if not _compiled(points):
        return land_torch(points, cameras, depth, tolerance)
    views = len(cameras)
    out = torch.empty(views, len(points), dtype=torch.int64)
    surface = torch.empty(views, 0) if depth is None else depth.flatten(1)
    kernels.land(
        points.numpy(),
        cameras.viewmats.numpy(),
        cameras.Ks.numpy(),
        cameras.width,
        cameras.height,
        NEAR,
        surface.numpy(),
        tolerance,
        out.numpy(),
    )
    return out


def land_torch(
    points: Float[Tensor, "M 3"], cameras: Cameras, depth: Float[Tensor, "V 1 h w"] | None, tolerance: float
) -> Int[Tensor, "V M"]:
    coords, z = project(points, cameras)
    seen = (z > NEAR) & in_bounds(coords, cameras.height, cameras.width)
    x, y = torch.where(seen[..., None], coords, torch.zeros_like(coords)).long().unbind(-1)
    pixel = y * cameras.width + x
    if depth is not None:
        seen &= (z - depth.flatten(1).gather(1, pixel)).abs() < tolerance
    return torch.where(seen, pixel, -1)


def integrate(values: Float[Tensor, "M C"], pixel: Int[Tensor, "V M"], height: int, width: int) -> Float[Tensor, "V C h w"]:
    """Eq. 8 of the paper: sum / sqrt(count) of the values that land in a pixel; NaN where none does."""
    views, area = len(pixel), height * width
    if _compiled(values):
        total, count = torch.zeros(views, area, values.shape[1]), torch.zeros(views, area)
        kernels.accumulate(values.numpy(), pixel.numpy(), total.numpy(), count.numpy())
    else:
        total, count = accumulate_torch(values, pixel, area)
    maps = total / count.sqrt()[..., None]  # 0/0 marks the pixels that no point reaches
    return maps.transpose(1, 2).unflatten(2, (height, width))


def accumulate_torch(
    values: Float[Tensor, "M C"], pixel: Int[Tensor, "V M"], area: int
) -> tuple[Float[Tensor, "V hw C"], Float[Tensor, "V hw"]]:
    views, points = (pixel >= 0).nonzero(as_tuple=True)  # dropping the misses first is several times faster
    target = pixel[views, points] + views * area
    count = torch.bincount(target, minlength=len(pixel) * area).to(values.dtype)
    total = values.new_zeros(len(pixel) * area, values.shape[1]).index_add_(0, target, values[points])
    return total.unflatten(0, (-1, area)), count.unflatten(0, (-1, area))


def _compiled(x: Tensor) -> bool:
    """Whether the kernels take it: they are compiled for float32 in main memory."""
    return x.device.type == "cpu" and x.dtype == torch.float32
