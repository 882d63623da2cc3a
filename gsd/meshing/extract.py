"""The surface of a scene, whatever it is made of, and points on a mesh."""

from __future__ import annotations

from typing import Any

import torch

from gsd.meshing.depth import surface_of_depth
from gsd.meshing.field import surface_of_field
from gsd.meshing.mesh import Surface, TexturedMesh
from gsd.meshing.scatter import scattered
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
    on = scattered(mesh.vertices, mesh.faces, count, generator)
    uv = (mesh.uv[mesh.faces[on.face]] * on.weights[..., None]).sum(1)
    return PointCloud(on.xyz, read(mesh.texture.permute(2, 0, 1), uv), normals=on.normals)
