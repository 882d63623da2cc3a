"""Cells of a world lattice that the rendered surface passes through: points wherever a ray ends."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.backend.device import compiled
from gsd.geometry import unproject
from gsd.noising.points.canvas import SCALE, Cloud
from gsd.noising.points.local import NOWHERE, REACH, sort_into_cells
from gsd.noising.points.local_kernels import hit_cells
from gsd.types import Geometry


def surface_cells(geometry: Geometry, cell: float, rays: int, tolerance: float) -> Cloud:
    """The cells that rays through the object's pixels (alpha > 0.5) end in, each at the mean of its hits.

    Args:
        geometry: of the step; depth at the latents' size, or the rendered one where that is finer, between pixel
            centres interpolated where the surface is continuous, at an edge the pixel's own.
        cell: edge in pixels, at the mean distance and focal length of the cameras, so that all views share one lattice.
        rays: rays x rays per pixel.
        tolerance: world units; a step of depth between pixels that is larger is an edge.

    Returns:
        A cloud whose ids are the cells' packed indices.
    """
    if not compiled(geometry.depth):
        return surface_cells_torch(geometry, cell, rays, tolerance)
    source, cameras, mask = _source(geometry), geometry.cameras, geometry.alpha[:, 0] > 0.5
    most = int(mask.sum()) * rays**2
    keys, sums = np.empty(most, np.int64), np.empty((most, 4))
    count = hit_cells(
        source[:, 0].contiguous().numpy(), mask.numpy(), cameras.viewmats.contiguous().numpy(),
        cameras.Ks.contiguous().numpy(), rays, _edge(geometry, cell), tolerance, keys, sums,
    )  # fmt: skip
    return _cloud(torch.from_numpy(keys[:count]), torch.from_numpy(sums[:count, 1:] / sums[:count, :1]).float())


def surface_cells_torch(geometry: Geometry, cell: float, rays: int, tolerance: float) -> Cloud:
    """The torch twin."""
    many = geometry.cameras.resized(rays * geometry.cameras.width, rays * geometry.cameras.height)
    fine, inside = fine_depth(geometry, rays, tolerance)
    points = unproject(fine, many).where(inside[:, 0, :, :, None], torch.nan)
    return cells_torch(points.flatten(0, 2), _edge(geometry, cell))


def _edge(geometry: Geometry, cell: float) -> float:
    """World units."""
    return cell_angle(geometry, cell) * float(geometry.cameras.on_cpu.distance.mean())


def cell_angle(geometry: Geometry, cell: float) -> float:
    """Radians that `cell` pixels span at the mean focal length."""
    return cell / float(geometry.cameras.on_cpu.Ks[:, 0, 0].mean())


def fine_depth(
    geometry: Geometry, rays: int, tolerance: float
) -> tuple[Float[Tensor, "V 1 H W"], Bool[Tensor, "V 1 H W"]]:
    """The depth of every ray, and whether the ray ends on the surface."""
    height, width = geometry.depth.shape[2:]
    large, source = (rays * height, rays * width), _source(geometry)
    near, smooth = interpolate(source, large, mode="nearest"), interpolate(source, large, mode="bilinear")
    mask = (geometry.alpha > 0.5).float()
    return torch.where((smooth - near).abs() < tolerance, smooth, near), interpolate(mask, large, mode="nearest") > 0.5


def _source(geometry: Geometry) -> Float[Tensor, "V 1 H W"]:
    rendered = geometry.render.depth
    return rendered.detach() if min(rendered.shape[2:]) > min(geometry.depth.shape[2:]) else geometry.depth


def cells_torch(points: Float[Tensor, "K 3"], edge: float) -> Cloud:
    """The lattice cells that points fall into, each at the mean of its points.

    There are as many rows as points, so that no GPU is waited for; the points of rows that are no cell are nan.
    """
    x = points.double()
    cells, cell = sort_into_cells(x, edge)
    x = (x / edge).nan_to_num().clamp(-REACH, REACH)
    corner = torch.zeros_like(x).scatter_(0, cell[:, None].expand(-1, 3), x.floor())
    parts = torch.nn.functional.pad(x - x.floor(), (0, 1), value=1.0)  # in fixed point: the same bits in any order
    sums = torch.zeros(len(x), 4, dtype=torch.int64, device=x.device).index_add_(0, cell, (parts * SCALE).long())
    middle = (corner + sums[:, :3] / sums[:, 3:]) * edge
    return _cloud(cells, middle.where((cells < NOWHERE)[:, None], torch.nan).to(points.dtype))


def _cloud(ids: Int[Tensor, " K"], points: Float[Tensor, "K 3"]) -> Cloud:
    return Cloud(points, points.new_zeros(len(points), 3, 3), ids, 1, 0)
