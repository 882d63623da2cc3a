"""The colours of a surface, per vertex or as a texture, from the views that see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from gsd.meshing.atlas import texels, unwrapped
from gsd.meshing.mesh import Mesh, Surface, TexturedMesh, normals, simplified
from gsd.meshing.progress import tracked
from gsd.meshing.views import colours
from gsd.types import PointCloud

SIDE = 1024  # texels of a square texture
FACES = 8_000  # of a textured mesh: detail is in the texture, and charts of all faces would take most of a minute

Painter = Callable[[Float[Tensor, "N 3"], Float[Tensor, "N 3"]], Float[Tensor, "N 3"]]


@torch.no_grad()
def coloured(surface: Surface) -> Mesh:
    outward = normals(surface.vertices, surface.faces)
    rgb = colours(surface.views, surface.vertices, outward, surface.tolerance)
    return Mesh(surface.vertices, outward, surface.faces, rgb)


def textured(surface: Surface, faces: int | None = None, side: int | None = None) -> TexturedMesh:
    """The surface with `faces` faces (None: FACES) and a texture of `side` texels (None: SIDE), as views show it."""

    def seen(points: Float[Tensor, "N 3"], outward: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        return colours(surface.views, points, outward, surface.tolerance)

    return painted(surface.vertices, surface.faces, seen, faces or FACES, side or SIDE)


@torch.no_grad()
def painted(
    vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], colour: Painter, count: int, side: int
) -> TexturedMesh:
    """The surface with about `count` faces or fewer, cut into charts, and each texel with the colour of its point.

    colour: from points of the surface and its normals there to rgb in [0, 1].
    """
    vertices, faces = simplified(vertices, faces, count)
    (atlas,) = [unwrapped(vertices, faces, side) for _ in tracked([None], "UV atlas")]
    vertices, outward = vertices[atlas.origin], normals(vertices, faces)[atlas.origin]
    face, weights = texels(atlas.faces, atlas.uv, side)
    covered = face >= 0
    corners, barycentric = atlas.faces[face[covered]], weights[covered][:, :, None]
    points, facing = (vertices[corners] * barycentric).sum(1), (outward[corners] * barycentric).sum(1)
    texture = torch.zeros(side, side, 3)
    texture[covered] = colour(points, normalize(facing, dim=-1))
    return TexturedMesh(vertices, outward, atlas.faces, atlas.uv, _dilated(texture, covered))


def nearest_colour(points: PointCloud) -> Painter:
    """The colour of the point that is nearest."""
    tree = cKDTree(points.xyz.double().numpy())

    def colour(xyz: Float[Tensor, "N 3"], outward: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        return points.rgb[torch.from_numpy(tree.query(xyz.numpy(), workers=1)[1])].clamp(0, 1)

    return colour


def refilled(mesh: TexturedMesh) -> TexturedMesh:
    """The mesh with a texture that is dilated anew, from the texels that drawing it can read."""
    covered = texels(mesh.faces, mesh.uv, len(mesh.texture))[0] >= 0
    return replace(mesh, texture=_dilated(mesh.texture, covered))


def _dilated(texture: Float[Tensor, "H W 3"], covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """Texels between charts with the colour of the nearest one in a chart, so that filtering shows no seams."""
    rows, columns = distance_transform_edt(~covered.numpy(), return_distances=False, return_indices=True)
    return texture[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]
