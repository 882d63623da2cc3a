"""A start from the scene of another run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gsd.init.parts.surface import surface_points
from gsd.meshing.extract import points_on
from gsd.protocols import Converts, Init, OfField, OfGaussians, OfMesh
from gsd.random import Stream
from gsd.ranges import Count, StepNumber
from gsd.rasterizer.ply import SH_C0
from gsd.results.start import open_scene
from gsd.types import Context, PointCloud

GREY = 0.5


@dataclass
class AnotherRun(Init):
    """The scene that the finished run in the folder `path` has ended with.

    A run with the same representation goes on from the whole scene: means, quats, scales, opacities, colours and ids of
    Gaussians; hash grid, networks, occupancy and points of a field. Its optimiser starts fresh. Gaussians start from a
    field at `points` points of its surface, which is where rays of views all around end, in its colours there; their
    opacity is `representation.opacity`. A textured mesh starts as the surface of either, with `points` points on it for
    noisings, and Gaussians from a mesh at so many. A field does not start from Gaussians or a mesh.

    particle: which scene of a run that has several. All scenes of this run start from it.
    """

    context: Context
    path: str
    particle: StepNumber = 0
    points: Count = 20_000

    light = True

    def __post_init__(self) -> None:
        ours, device = self.context.representation, self.context.device
        self.scene, self.whole = open_scene(self.path, self.particle, ours, device)

    def __call__(self, rng: Stream) -> PointCloud:
        state = self.scene.state() if self.whole else None
        if state is None and self.context.representation is not None:
            kind, options = self.context.representation
            if issubclass(kind, Converts):
                return kind.converted(self.scene, options, self.points, self.context, rng)
        if isinstance(self.scene, OfMesh):
            points = points_on(self.scene.mesh(), self.points, rng.sub("surface").generator())
            return replace(points, whole=state)
        if isinstance(self.scene, OfGaussians):
            splats = self.scene.splats()
            return PointCloud(splats.means.cpu(), (0.5 + SH_C0 * splats.sh[:, 0]).clamp(0, 1).cpu(), state)
        if state is None:
            return surface_points(self.scene, self.points, self.context.device, rng, f"init.path={self.path}")
        xyz = self.scene.scene().points.cpu()
        rgb = self.scene.field(xyz)[1].clamp(0, 1) if isinstance(self.scene, OfField) else torch.full_like(xyz, GREY)
        return PointCloud(xyz, rgb, state)
