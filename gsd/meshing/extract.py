"""The surface of a scene, whatever it is made of, and points on a mesh."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsd.meshing.depth import surface_of_depth
from gsd.meshing.field import surface_of_field
from gsd.meshing.mesh import Surface, TexturedMesh
from gsd.meshing.texture import read
from gsd.protocols import OfField
from gsd.types import PointCloud


def surface_of(scene: Any, resolution: int, level: float | None, device: torch.device) -> Surface:
    """That of a scene which renders depth or is a field; a mesh needs none. level: of a field's density, see there."""
    if isinstance(scene, OfField):
        return surface_of_field(scene, resolution, level, device)
    return surface_of_depth(scene, resolution, device)


@torch.no_grad()
def points_on(mesh: TexturedMesh, count: int, generator: torch.Generator) -> PointCloud:
    """Random points of a mesh, as many on each part of it as its area says, in the colours of the texture there."""
    corners = mesh.vertices[mesh.faces]
    a, b, c = corners.unbind(1)
    reach = torch.linalg.cross(b - a, c - a).norm(dim=-1).double().cumsum(0)
    wanted = torch.rand(count, generator=generator, dtype=torch.float64) * reach[-1]
    face = torch.searchsorted(reach, wanted, right=True).clamp_max(len(reach) - 1)
    weights = _barycentric(torch.rand(count, 2, generator=generator))
    uv = (mesh.uv[mesh.faces[face]] * weights).sum(1)
    return PointCloud((corners[face] * weights).sum(1), read(mesh.texture.permute(2, 0, 1), uv))


def _barycentric(uniform: Tensor) -> Tensor:
    """Evenly over a triangle."""
    across, along = uniform[:, :1].sqrt(), uniform[:, 1:]
    return torch.stack([1 - across, across * (1 - along), across * along], 1)
