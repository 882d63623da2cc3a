"""Local spacing and surface normal of a point cloud, which decide where sub-points lie.

By default sub-points lie along the surface, because isotropic offsets have a parallax of their own: on the reference
scene at 30 degrees, views share .27 with isotropic and .45 with tangent offsets. Spacing and normal are estimated anew
in each step, so nothing depends on history.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.backend.device import compiled
from gsd.errors import GsdError
from gsd.geometry import rotation_matrices
from gsd.noising.points import local_kernels as kernels
from gsd.types import Scene

Offsets = Literal["isotropic", "tangent", "covariance"]

_SAMPLE = 256  # points from which the centre and radius of the cloud are estimated
_CELL = 2.5  # cell size in expected spacings: the 27 cells around a point of a surface then hold about 60 points
_FINEST = 10_000  # more points than this do not make the cells smaller, so that the tables stay in the cache
_FEWEST = 4  # points per cell; if the mean is lower, the points fill a volume, and the cells grow to hold twice as many
_SECTION = 1.06  # root of the mean area, in faces, that a plane through the middle third cuts out of a cube


def frames(scene: Scene, offsets: Offsets, spread: float) -> Float[Tensor, "K 3 3"]:
    """The matrix L of every point, whose sub-points lie at point + L u with E[u u^T] = I (world units).

    isotropic: spread times the local spacing in every direction. tangent: the same with the component along the
    surface normal removed, as far as the points lie on a surface. covariance: spread times the square root of the
    Gaussian's own covariance. Raises GsdError for covariance if the points have no scales.
    """
    if offsets == "covariance":
        if scene.scales is None or scene.quats is None:
            raise GsdError(
                "noising.offsets=covariance needs Gaussians, and this scene has bare points; "
                "use noising.offsets=tangent."
            )
        return spread * rotation_matrices(scene.quats) * scene.scales[:, None]
    points = scene.points.detach()
    if spread == 0:
        return points.new_zeros(len(points), 3, 3)
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
    spacing, normal, flatness = np.empty(n_cells), np.empty((n_cells, 3)), np.empty(n_cells)
    kernels.describe(n_cells, table, keys, moments, _SECTION * 3 * size, spacing, normal, flatness)
    if offsets == "isotropic":
        flatness[:] = 0
    out = np.empty((count, 3, 3), np.float32)
    kernels.fill_frames(cell, spacing, normal, flatness, spread, size, out)
    return torch.from_numpy(out)


def _wider(size: float, n_cells: int, count: int) -> float:
    """The cell size for points that fill a volume, of which too few fell into each cell of `size`."""
    return size * (2 * _FEWEST * n_cells / count) ** 0.5


def frames_torch(
    points: Float[Tensor, "K 3"], centre: Float[np.ndarray, "3"], size: float, offsets: Offsets, spread: float
) -> Float[Tensor, "K 3 3"]:
    """The twin: cells by sorting, eigenvectors by LAPACK."""
    x = points.double() - torch.from_numpy(centre).to(points.device)
    valid, cells, cell = sort_into_cells(x, size)
    if len(cells) * _FEWEST > len(points):
        size = _wider(size, len(cells), len(points))
        valid, cells, cell = sort_into_cells(x, size)
    x = x[valid]
    terms = torch.cat([torch.ones_like(x[:, :1]), x, (x[:, :, None] * x[:, None]).flatten(1)], 1)
    moments = terms.new_zeros(len(cells) + 1, 13).index_add_(0, cell, terms)  # the last row, 0, is for missing cells
    shifts = torch.cartesian_prod(*[torch.arange(-1, 2, device=points.device)] * 3)
    around = cells[:, None] + (shifts << shifts.new_tensor([42, 21, 0])).sum(1)
    index = torch.searchsorted(cells, around).clamp_max(max(len(cells) - 1, 0))
    exists = cells[index] == around if len(cells) else torch.zeros_like(around, dtype=torch.bool)
    total = moments[torch.where(exists, index, len(cells))].sum(1)
    n, mean = total[:, :1], total[:, 1:4] / total[:, :1]
    covariance = total[:, 4:].unflatten(1, (3, 3)) / n[..., None] - mean[:, :, None] * mean[:, None]
    variance, axes = torch.linalg.eigh(covariance)
    flatness = 1 - variance[:, 0].clamp_min(0) / variance[:, 1]
    flatness = torch.where((n[:, 0] < 4) | ~(variance[:, 1] > 0), 0.0, flatness)
    if offsets == "isotropic":
        flatness = torch.zeros_like(flatness)
    identity = torch.eye(3, dtype=x.dtype, device=x.device)
    normal = axes[:, :, 0]
    local = (
        _SECTION
        * 3
        * size
        * n[..., None].rsqrt()
        * (identity - flatness[:, None, None] * normal[:, :, None] * normal[:, None])
    )
    out = (spread * size * identity).repeat(len(points), 1, 1)
    out[valid] = spread * local[cell]
    return out.to(points.dtype)


def sort_into_cells(
    x: Float[Tensor, "K 3"], size: float
) -> tuple[Bool[Tensor, " K"], Int[Tensor, " C"], Int[Tensor, " k"]]:
    """Sort points into cubic cells: which points are in a cell, the keys of the cells, each such point's index in them.

    Points that are not finite, or a million cells away, are in no cell. The twin of `local_kernels.assign`.
    """
    place = (x / size).floor()
    valid = (place.abs() < (1 << 20) - 1).all(1)
    cells, cell = _pack(place[valid].long()).unique(return_inverse=True)
    return valid, cells, cell


def _pack(place: Int[Tensor, "K 3"]) -> Int[Tensor, " K"]:
    return ((place + (1 << 20)) << place.new_tensor([42, 21, 0])).sum(1)
