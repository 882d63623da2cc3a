"""The background: a sphere behind the object, divided into cells that carry noise.

The cells follow the resolution, as those of the surface do, so that views share the same part of the background's noise
at every size of the maps. A pixel that contains no cell's centre has fresh noise, in each view its own. So CELL is
small, whatever the size of a noising's cells on the surface. The sphere's are those of a cube's faces, at equal angles
along both axes, as seen from the centre; their solid angles differ by a factor of less than 1.5. In every row of a face
the cells that a view sees are an interval, so the cost is that of the cells in view. They are splatted as boxes, which
cost half: what views share of the background is not worth more.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import rotation_matrices
from gsd.noising.points import background_kernels as kernels
from gsd.noising.points.canvas import Cloud, Layer
from gsd.noising.points.cells import cell_angle
from gsd.types import Cameras, Geometry

TILT = rotation_matrices(torch.tensor([[0.9, 0.3, 0.2, 0.1]]))[0]  # else a camera may see cells on pixels' edges
CELL = 0.7  # pixels at the far side; below 1 / sqrt(2), so that hardly a pixel contains no cell's centre


def background(geometry: Geometry, radius: float | None) -> Layer:
    """The pixels that show no object (alpha <= 0.5), and the cells of the sphere in the step's views.

    Args:
        geometry: of the step.
        radius: of a sphere around the origin, world units. None: at infinity, where its image depends on a camera's
            rotation alone.

    Returns:
        A layer for `gsd.noising.points.canvas.Canvas`, in the frame of `before_cube`.

    Raises:
        GsdError: for a camera outside the sphere, which would see both of its sides.
    """
    cameras, far = before_cube(geometry.cameras.on_cpu, radius)
    across = math.ceil(math.pi / 2 / (far * cell_angle(geometry, CELL)))
    ids, points = (x.to(geometry.depth.device) for x in cells(sides(cameras), across))  # depends on cameras alone
    cloud = Cloud(points.to(geometry.depth.dtype), points.new_zeros(len(points), 3, 3), ids, 1, 0)
    return Layer(cloud, cameras.to(geometry.depth.device), geometry.alpha <= 0.5, boxes=True)


def before_cube(cameras: Cameras, radius: float | None) -> tuple[Cameras, float]:
    """The cameras in the cube's frame, whose unit of length is the radius, and their distance from the far side."""
    viewmats = cameras.viewmats.clone()
    viewmats[:, :3, :3] = viewmats[:, :3, :3] @ TILT.to(viewmats)
    viewmats[:, :3, 3] *= 0 if radius is None else 1 / radius
    if radius is None:
        return replace(cameras, viewmats=viewmats), 1.0
    away = viewmats[:, :3, 3].norm(dim=1)
    if (most := float(away.max())) >= 1:
        raise GsdError(
            f"noising.background_radius={radius:g} must be larger than the distance of every camera, "
            f"here {most * radius:g}; take a larger one, or null for a sphere at infinity."
        )
    return replace(cameras, viewmats=viewmats), 1 + float(away.mean())


def sides(cameras: Cameras) -> Float[Tensor, "V 4 4"]:
    """The planes through a camera and the sides of its image: it sees only directions q with a . q >= b.

    Rows are (a, b). A point of the unit sphere is q / |q| with 1 <= |q| <= sqrt(3) on the cube, so that for a camera
    away from the centre b is the least of what may be needed.
    """
    K, R, t = cameras.Ks.double(), cameras.viewmats[:, :3, :3].double(), cameras.viewmats[:, :3, 3:].double()
    x, y, z = K.unbind(1)
    inward = torch.stack([x, cameras.width * z - x, y, cameras.height * z - y], 1)
    b = -inward @ t
    return torch.cat([inward @ R, torch.where(b < 0, 3**0.5 * b, b)], 2)


def cells(planes: Float[Tensor, "V 4 4"], across: int) -> tuple[Int[Tensor, " K"], Float[Tensor, "K 3"]]:
    """Numbers and centres, on the unit sphere, of the cells that some view sees; a face has across x across cells."""
    first, last = kernels.intervals(planes.numpy(), across)
    ids, points = kernels.centres(first, last, across)
    return torch.from_numpy(ids), torch.from_numpy(points)


def cells_torch(planes: Float[Tensor, "V 4 4"], across: int) -> tuple[Int[Tensor, " K"], Float[Tensor, "K 3"]]:
    """The torch twin."""
    device, step = planes.device, math.pi / 2 / across
    tangents = ((torch.arange(across, dtype=torch.float64, device=device) + 0.5) * step - math.pi / 4).tan()
    found = []
    for face in range(6):
        axis, sign = face // 2, 1 - 2 * (face % 2)
        a, u, v = (planes[..., (axis + k) % 3] for k in range(3))
        rest = sign * a + v * tangents[:, None, None] - planes[..., 3]  # rest + u x >= 0: [row, view, plane]
        root = -rest / u
        low = torch.where(u > 0, root, -1.0).amax(2)
        high = torch.where(u < 0, root, 1.0).amin(2).where(((u != 0) | (rest >= 0)).all(2), -2.0)
        first, last = (((x.clamp(-1, 1).atan() + math.pi / 4) / step - 0.5) for x in (low, high))
        first, last = first.ceil().long().clamp_min(0), last.floor().long().clamp_max(across - 1)
        count = (last - first + 1).clamp_min(0).where(low <= high, 0).flatten()
        start = (torch.arange(across, device=device)[:, None] * across + first).flatten()
        within = torch.arange(int(count.sum()), device=device) - (count.cumsum(0) - count).repeat_interleave(count)
        place = (start.repeat_interleave(count) + within).unique()
        q = torch.stack([torch.full_like(place, sign).double(), tangents[place % across], tangents[place // across]], 1)
        found.append((face * across**2 + place, torch.nn.functional.normalize(q.roll(axis, 1), dim=1).float()))
    ids, points = zip(*found, strict=True)
    return torch.cat(ids), torch.cat(points)
