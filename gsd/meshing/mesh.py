"""Triangle meshes: from a volume, cleaned, and simplified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from gsd.errors import GsdError
from gsd.meshing.views import View

# glTF and with it most programs: y up, the front looks along +z. Ours is z up with the front along +x.
WORLD_TO_Y_UP = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
QUAT_TO_Y_UP = torch.tensor([0.5, -0.5, -0.5, -0.5])  # the same rotation, wxyz
SPECK = 0.01  # of the largest component's faces: what has fewer is a floater


@dataclass(frozen=True)
class Surface:
    """A closed surface without colours, and the views that show them."""

    vertices: Float[Tensor, "N 3"]  # world units and axes
    faces: Int[Tensor, "F 3"]  # counter-clockwise from outside
    views: list[View]
    tolerance: float  # world units: how far the depth of a view that sees a point may be from it


@dataclass(frozen=True)
class Mesh:
    """A surface with a colour per vertex."""

    vertices: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    faces: Int[Tensor, "F 3"]
    rgb: Float[Tensor, "N 3"]  # [0, 1], sRGB as in renders


@dataclass(frozen=True)
class TexturedMesh:
    """A surface with a texture. A vertex where charts meet is there once per chart."""

    vertices: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    faces: Int[Tensor, "F 3"]
    uv: Float[Tensor, "N 2"]  # [0, 1]; (0, 0) is the upper left corner of the texture, as in glTF
    texture: Float[Tensor, "H W 3"]  # [0, 1], sRGB


def surface(
    volume: Float[Tensor, "X Y Z"], level: float, low: Float[Tensor, " 3"], spacing: float
) -> tuple[Float[Tensor, "N 3"], Int[Tensor, "F 3"]]:
    """Marching cubes (Lewiner et al. 2003): the closed surface around all that is above `level`, less specks.

    volume[i, j, k] is the value at low + spacing (i, j, k). Raises GsdError where nothing is above the level.
    """
    from skimage.measure import marching_cubes

    highest = float(volume.max())
    if not highest > level:
        raise GsdError(f"There is no surface: nothing is above {level:.4g}, the highest value is {highest:.4g}.")
    outside = min(float(volume.min()), 2 * level - highest)  # around the box, so that the surface is closed
    padded = np.pad(volume.cpu().numpy(), 1, constant_values=outside)
    vertices, faces, _, _ = marching_cubes(padded, level, gradient_direction="ascent", allow_degenerate=False)
    vertices, faces = _without_specks(vertices, faces)
    return low.cpu() + spacing * (torch.from_numpy(vertices.copy()) - 1), torch.from_numpy(faces.copy()).long()


def _without_specks(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Only components with at least SPECK of the largest one's faces."""
    count = len(vertices)
    edges = coo_array((np.ones(2 * len(faces)), (faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel())), (count, count))
    _, component = connected_components(edges, directed=False)
    sizes = np.bincount(component[faces[:, 0]], minlength=component.max() + 1)
    kept = (sizes >= SPECK * sizes.max())[component]
    number = np.cumsum(kept) - 1
    return vertices[kept], number[faces[kept[faces[:, 0]]]]


def normals(vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "N 3"]:
    """Outward unit normals of the vertices: the mean of their faces', weighted by area."""
    a, b, c = vertices[faces].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    summed = torch.zeros_like(vertices).index_add_(0, faces.flatten(), across.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(summed, dim=-1)


def simplified(
    vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], count: int
) -> tuple[Float[Tensor, "M 3"], Int[Tensor, "G 3"]]:
    """The same surface with about `count` faces (quadric error metrics, Garland and Heckbert 1997), closed as it is."""
    if len(faces) <= count:
        return vertices, faces
    vertices, faces = decimated(vertices, faces, count)
    while len(shared := _shared_edges(faces)):
        for edge in shared:
            vertices, faces = _parted(vertices, faces, edge)
    return vertices, faces


def decimated(
    vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], count: int
) -> tuple[Float[Tensor, "M 3"], Int[Tensor, "G 3"]]:
    """As `simplified`, of any triangles; parts of the surface may touch afterwards."""
    if len(faces) <= count:
        return vertices, faces
    from fast_simplification import simplify

    fewer = simplify(vertices.numpy(), faces.int().numpy(), target_count=count, agg=3)
    return torch.from_numpy(fewer[0]).float(), torch.from_numpy(fewer[1]).long()


def _shared_edges(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "E 2"]:
    """Edges with four faces, where simplification has made two parts of the surface touch; with six, twice."""
    count = int(faces.max()) + 1
    ends = torch.cat([faces[:, [k, (k + 1) % 3]] for k in range(3)]).sort(1).values
    edges, times = (ends[:, 0] * count + ends[:, 1]).unique(return_counts=True)
    shared = edges.repeat_interleave((times // 2 - 1).clamp_min(0))
    return torch.stack([shared // count, shared % count], 1)


def _parted(
    vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], edge: Int[Tensor, " 2"]
) -> tuple[Float[Tensor, "M 3"], Int[Tensor, "G 3"]]:
    """Two of an edge's faces, one on each side, get a vertex of their own in its middle; the others keep the edge."""
    middle, kept, new = len(vertices), torch.ones(len(faces), dtype=torch.bool), []
    for start, end in (edge.tolist(), edge.flip(0).tolist()):
        face, corner = ((faces == start) & (faces.roll(-1, 1) == end)).nonzero()[0]
        kept[face], third = False, int(faces[face, (corner + 2) % 3])
        new += [[start, middle, third], [middle, end, third]]
    return torch.cat([vertices, vertices[edge].mean(0, keepdim=True)]), torch.cat([faces[kept], torch.tensor(new)])
