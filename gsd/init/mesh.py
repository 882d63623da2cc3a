"""A start from the mesh of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from gsd.errors import GsdError
from gsd.init.parts.placing import put
from gsd.meshing.loaded import Up, load_mesh
from gsd.protocols import Converts, Init
from gsd.random import Stream
from gsd.ranges import Count, Length, Yaw
from gsd.types import Context, PointCloud


class MeshFile(Init):
    """A mesh that another program made or scanned: .glb, .obj (with its .mtl and pictures beside it) or .ply.

    Gaussians start at `points` random points of its surface, flat on it, in its colours; their opacity is
    `representation.opacity`. A textured mesh is the mesh itself, simplified to `representation.faces` and with a
    texture of its own. A field starts as its own blob, and noisings see the points.

    Colours are those of vertices or faces, times that of the material and its texture (of an .obj the texture alone,
    where there is one); grey where there are none, which is said. Lights, transparency and other maps are left out.

    up: the axis that points up in the file: y (its front then looks along +z), z (along +x), None: y for .glb and .obj,
    z for .ply. Then the mesh is turned by `yaw` degrees about our z axis, and centred and scaled so that its farthest
    vertex lies `radius` (world units) from the origin, whatever its units were; radius None keeps its place and size.
    """

    light = True

    def __init__(
        self,
        context: Context,
        path: str,
        points: Count = 20_000,
        radius: Length | None = 0.6,
        up: Up | None = None,
        yaw: Yaw = 0.0,
    ) -> None:
        self.context, self.count = context, points
        file = Path(path).expanduser()
        mesh = load_mesh(file, up)
        self.mesh = replace(mesh, vertices=put(mesh.vertices.numpy(), file, radius, yaw))
        corners = self.mesh.vertices[self.mesh.faces]
        if not torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).any():
            raise GsdError(f"init.path={path}: none of its {len(corners)} faces has an area; save the mesh anew.")

    def __call__(self, rng: Stream) -> PointCloud:
        if self.context.representation is not None:
            kind, options = self.context.representation
            if issubclass(kind, Converts):
                return kind.converted(self.mesh, options, self.count, self.context, rng)
        return self.mesh.points(self.count, rng.sub("surface").generator())
