"""Local spacing and surface normal of a point cloud, which decide where sub-points lie.

By default sub-points lie along the surface, because isotropic offsets have a parallax of their own: on the reference
scene at 30 degrees, views share .27 with isotropic and .45 with tangent offsets. Spacing and normal are estimated anew
in each step, so nothing depends on history.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.backend.device import compiled
from gsd.errors import GsdError
from gsd.geometry import rotation_matrices
from gsd.noising.points import local_kernels as kernels
from gsd.noising.points.canvas import SCALE
from gsd.types import Scene

Offsets = Literal["isotropic", "tangent", "covariance", "world"]

_SAMPLE = 256  # points from which the centre and radius of the cloud are estimated
_CELL = 2.5  # cell size in expected spacings: the 27 cells around a point of a surface then hold about 60 points
_FINEST = 10_000  # more points than this do not make the cells smaller, so that the tables stay in the cache
_FEWEST = 4  # points per cell; if the mean is lower, the points fill a volume, and the cells grow to hold twice as many
REACH = (1 << 20) - 1  # cells to either side of the middle
NOWHERE = torch.iinfo(torch.int64).max  # the key of no cell
_SECTION = 1.06  # root of the mean area, in faces, that a plane through the middle third cuts out of a cube


def frames(scene: Scene, offsets: Offsets, spread: float) -> Float[Tensor, "K 3 3"]:
    """The matrix L of every point, whose sub-points lie at point + L u with E[u u^T] = I (world units).

    isotropic: spread times the local spacing in every direction. tangent: the same with the component along the
    surface normal removed, as far as the points lie on a surface. covariance: spread times the square root of the
    Gaussian's own covariance. world: spread itself in every direction. Raises GsdError for covariance if the points
    have no scales.
    """
    if offsets == "covariance":
        if scene.scales is None or scene.quats is None:
            raise GsdError(
                "noising.offsets=covariance needs Gaussians, and this scene has bare points; "
                "use noising.offsets=tangent."
            )
        return spread * rotation_matrices(scene.quats) * scene.scales[:, None]
    points = scene.points.detach()
    if spread == 0 or offsets == "world":
        return (spread * torch.eye(3).to(points)).expand(len(points), 3, 3)
    centre, size = _grid(points)
    if compiled(points):
        return _frames_compiled(points, centre, size, offsets, spread)
    return frames_torch(points, centre, size, offsets, spread)


def _grid(points: Float[Tensor, "K 3"]) -> tuple[Float[np.ndarray, "3"], float]:
    """Centre and size of the cells, from medians, so that outliers do not matter."""
    sample = points[:: max(1, len(points) // _SAMPLE)].cpu().double().numpy()
    centre, radius = kernels.median_ball(sample)
    spacing = radius * (4 * np.pi / max(1, min(len(points), _FINEST))) ** 0.5  # of points evenly on a sphere
    return centre, max(_CELL * spacing, 1e-6)


def _frames_compiled(
    points: Float[Tensor, "K 3"], centre: Float[np.ndarray, "3"], size: float, offsets: Offsets, spread: float
) -> Float[Tensor, "K 3 3"]:
    count = len(points)
    keys, cell, moments = np.empty(count, np.int64), np.empty(count, np.int32), np.empty((count, 10))
    n_cells, table = kernels.assign(points.numpy(), centre, size, keys, cell, moments)
    if n_cells * _FEWEST > count:
        size = _wider(size, n_cells, count)
        n_cells, table = kernels.assign(points.numpy(), centre, size, keys, cell, moments)
    spacing, normal, flatness = np.empty(n_cells), np.zeros((n_cells, 3)), np.empty(n_cells)
    flat = offsets != "isotropic"
    kernels.describe(n_cells, table, keys, moments, _SECTION * 3 * size, flat, spacing, normal, flatness)
    out = np.empty((count, 3, 3), np.float32)
    kernels.fill_frames(cell, spacing, normal, flatness, spread, size, out)
    return torch.from_numpy(out)


def _wider(size: Any, n_cells: Any, count: int) -> Any:
    """The cell size for points that fill a volume, of which too few fell into each cell of `size`."""
    return size * (2 * _FEWEST * n_cells / count) ** 0.5


def frames_torch(
    points: Float[Tensor, "K 3"], centre: Float[np.ndarray, "3"], size: float, offsets: Offsets, spread: float
) -> Float[Tensor, "K 3 3"]:
    """The twin: cells by sorting, eigenvectors by LAPACK. It waits for a GPU only for these."""
    x = points.double() - torch.from_numpy(centre).to(points.device)
    edge = x.new_tensor(size)
    count = (sort_into_cells(x, edge)[0] < NOWHERE).sum()
    edge = torch.where(count * _FEWEST > len(points), _wider(edge, count, len(points)), edge)
    cells, cell = sort_into_cells(x, edge)
    x = (x / edge).nan_to_num().clamp(-REACH, REACH)
    u = x - x.floor()  # within the cell, so that sums fit into fixed point: the same bits in any order
    terms = torch.cat([torch.ones_like(u[:, :1]), u, (u[:, :, None] * u[:, None]).flatten(1)], 1)
    sums = torch.zeros(len(x) + 1, 13, dtype=torch.int64, device=x.device)  # the last row, 0, is for missing cells
    sums.index_add_(0, cell, (terms * SCALE).long())
    shifts = torch.cartesian_prod(*[torch.arange(-1, 2, device=points.device)] * 3)
    around = cells[:, None] + (shifts << shifts.new_tensor([42, 21, 0])).sum(1)
    index = torch.searchsorted(cells, around).clamp_max(max(len(cells) - 1, 0))
    exists = (cells[index] == around) & (cells < NOWHERE)[:, None]
    patch = sums[torch.where(exists, index, len(cells))].double() / SCALE
    n, u, uu = patch[..., :1], patch[..., 1:4], patch[..., 4:].unflatten(2, (3, 3))
    o = shifts.to(u)
    spread_u = u[..., None] * o[:, None] + o[..., None] * u[..., None, :]
    uu = (
        uu + spread_u + n[..., None] * o[..., None] * o[:, None]
    )  # of the 27 cells around, from the middle one's corner
    n, mean, uu = n.sum(1).clamp_min(1), (u + n * o).sum(1), uu.sum(1)
    mean = mean / n
    variance, axes = torch.linalg.eigh(uu / n[..., None] - mean[:, :, None] * mean[:, None])
    flatness = 1 - variance[:, 0].clamp_min(0) / variance[:, 1]
    flatness = torch.where((n[:, 0] < 4) | ~(variance[:, 1] > 0), 0.0, flatness)
    if offsets == "isotropic":
        flatness = torch.zeros_like(flatness)
    identity = torch.eye(3, dtype=x.dtype, device=x.device)
    normal = axes[:, :, 0]
    local = (
        _SECTION
        * 3
        * n[..., None].rsqrt()
        * (identity - flatness[:, None, None] * normal[:, :, None] * normal[:, None])
    )
    out = torch.where((cells[cell] < NOWHERE)[:, None, None], local[cell], identity)
    return (spread * edge * out).to(points.dtype)


def sort_into_cells(x: Float[Tensor, "K 3"], size: Tensor | float) -> tuple[Int[Tensor, " K"], Int[Tensor, " K"]]:
    """Sort points into cubic cells: the keys of the cells, ascending, and each point's index among them.

    Points that are not finite, or a million cells away, are in no cell: their key is NOWHERE. So are the rows beyond
    the number of cells; there are as many as points, so that no GPU is waited for. The twin of `local_kernels.assign`.
    """
    place = (x / size).floor()
    valid = (place.abs() < REACH).all(1)
    keys = torch.where(valid, _pack(place.where(valid[:, None], 0.0).long()), NOWHERE)
    ascending, order = keys.sort(stable=True)
    row = torch.nn.functional.pad((ascending[1:] != ascending[:-1]).long(), (min(len(x), 1), 0)).cumsum(0)
    cells = torch.full_like(keys, NOWHERE).scatter_(0, row, ascending)
    return cells, torch.empty_like(row).scatter_(0, order, row)


def _pack(place: Int[Tensor, "K 3"]) -> Int[Tensor, " K"]:
    return ((place + REACH + 1) << place.new_tensor([42, 21, 0])).sum(1)
