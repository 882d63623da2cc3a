"""The colours of a surface, per vertex or as a texture, from the views that see it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import normalize

from gsd.tools.export.atlas import texels, unwrapped
from gsd.tools.export.mesh import Mesh, Surface, TexturedMesh, normals, simplified
from gsd.tools.export.progress import tracked
from gsd.tools.export.views import colours

SIDE = 1024  # texels of a square texture
FACES = 12_000  # of a textured mesh: detail is in the texture, and charts of all faces would take most of a minute


@torch.no_grad()
def coloured(surface: Surface) -> Mesh:
    outward = normals(surface.vertices, surface.faces)
    rgb = colours(surface.views, surface.vertices, outward, surface.tolerance)
    return Mesh(surface.vertices, outward, surface.faces, rgb)


@torch.no_grad()
def textured(surface: Surface) -> TexturedMesh:
    """The surface with fewer faces, cut into charts, and each texel with the colour of its point of the surface."""
    vertices, faces = simplified(surface.vertices, surface.faces, FACES)
    (atlas,) = [unwrapped(vertices, faces, SIDE) for _ in tracked([None], "UV atlas")]
    vertices, outward = vertices[atlas.origin], normals(vertices, faces)[atlas.origin]
    face, weights = texels(atlas, SIDE)
    covered = face >= 0
    corners, barycentric = atlas.faces[face[covered]], weights[covered][:, :, None]
    points, facing = (vertices[corners] * barycentric).sum(1), (outward[corners] * barycentric).sum(1)
    texture = torch.zeros(SIDE, SIDE, 3)
    texture[covered] = colours(surface.views, points, normalize(facing, dim=-1), surface.tolerance)
    return TexturedMesh(vertices, outward, atlas.faces, atlas.uv, _dilated(texture, covered))


def _dilated(texture: Float[Tensor, "H W 3"], covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """Texels between charts with the colour of the nearest one in a chart, so that filtering shows no seams."""
    rows, columns = distance_transform_edt(~covered.numpy(), return_distances=False, return_indices=True)
    return texture[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]
