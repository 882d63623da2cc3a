"""A surface around points: that of a ball on each of them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from gsd.meshing.bake import nearest_colour, painted
from gsd.meshing.mesh import TexturedMesh, surface
from gsd.types import PointCloud

NEIGHBOURS = 6  # a ball is so large that about so many neighbours lie in it
LARGEST = 0.2  # world units


def mesh_around(points: PointCloud, resolution: int, faces: int, side: int) -> TexturedMesh:
    """A closed textured mesh around the balls on the points, each texel in the colour of the nearest point.

    All balls have one radius, so that points on a surface, evenly spread, become one surface. resolution: voxels along
    the longest side.
    """
    return painted(*_around(points.xyz, resolution), nearest_colour(points), faces, side)


def _around(xyz: Float[Tensor, "N 3"], resolution: int) -> tuple[Float[Tensor, "M 3"], Int[Tensor, "F 3"]]:
    tree = cKDTree(xyz.double().numpy())
    known = torch.from_numpy(tree.data)
    distances = tree.query(known, k=min(NEIGHBOURS + 1, len(known)), workers=1)[0].reshape(len(known), -1)
    spacing = float(torch.from_numpy(distances)[:, -1].median())
    radius = min(spacing, LARGEST) if spacing > 0 else LARGEST
    low, high = known.amin(0) - radius, known.amax(0) + radius
    voxel = float((high - low).max()) / resolution
    count = ((high - low) / voxel + 3).ceil().long().tolist()
    low = low - voxel
    grid = torch.cartesian_prod(*[low[i] + voxel * torch.arange(n, dtype=low.dtype) for i, n in enumerate(count)])
    reach = radius + 2 * voxel  # farther points are outside, however far
    apart = torch.from_numpy(tree.query(grid, distance_upper_bound=reach, workers=1)[0]).clamp_max(reach)
    return surface((radius - apart).float().view(*count), 0.0, low.float(), voxel)
