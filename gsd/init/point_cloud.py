"""A start from a file of points."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from gsd.errors import GsdError
from gsd.init.parts.cloud import Growing
from gsd.init.parts.cloud_file import READERS, Points
from gsd.init.parts.placing import put, put_splats
from gsd.protocols import Init
from gsd.random import Stream
from gsd.ranges import Length, Yaw
from gsd.types import PointCloud

GREY = 0.5


class PointCloudFile(Init):
    """Points from a file: .ply (vertex x y z, optional red green blue) or .npz (xyz [N, 3], optional rgb [N, 3]; or
    what Point-E saves: coords, R, G, B).

    Of a file of Gaussians (.ply, as INRIA's 3D Gaussian splatting and the scene.ply of a run) the points are the means
    of those that can be seen. If it has their sizes, rotations, opacities and colours, representation=gaussians starts
    as all of them; with `grow`, at the points.

    Colours are 0 to 255 if stored as integers (0 to 65535 as uint16), else 0 to 1, and may be called r g b or
    diffuse_red ...; where there are none, grey is taken and that is said. The cloud is turned by `yaw` degrees about
    the z axis, then centred and scaled so that its farthest point lies `radius` (world units) from the origin; radius
    null keeps its place and size. grow: noisy point growing.
    """

    light = True

    def __init__(self, path: str, radius: Length | None = 0.6, yaw: Yaw = 0.0, grow: Growing | None = None) -> None:
        self.path, self.radius, self.yaw, self.grow = Path(path), radius, yaw, grow
        self.cloud = self._normalised(self._read())  # at construction: a bad file is refused before the run starts

    def __call__(self, rng: Stream) -> PointCloud:
        return self.cloud if self.grow is None else self.grow(self.cloud, rng)

    def _read(self) -> Points:
        if not self.path.is_file():
            raise GsdError(f"init.path={self.path}: no such file; give a .ply or .npz of points.")
        if self.path.suffix.lower() not in READERS:
            raise GsdError(f"init.path={self.path}: unknown kind of file; give a .ply or .npz, or a mesh to init=mesh.")
        return READERS[self.path.suffix.lower()](self.path)

    def _normalised(self, points: Points) -> PointCloud:
        xyz, splats = put(points.xyz, self.path, self.radius, self.yaw), None
        if points.splats is not None and points.seen is not None:
            splats = put_splats(points.splats, points.seen, self.path, self.radius, self.yaw)
        return PointCloud(xyz, self._coloured(points.rgb, len(points.xyz)), splats=splats)

    def _coloured(self, rgb: np.ndarray | None, count: int) -> torch.Tensor:
        if rgb is None:
            logging.getLogger("gsd").warning(
                "gsd: %s has no colours (red green blue, r g b, diffuse_red ..., f_dc_0 ..., or rgb): grey.", self.path
            )
            return torch.full((count, 3), GREY)
        if rgb.shape != (count, 3):
            raise GsdError(f"{self.path}: rgb has shape {tuple(rgb.shape)}; it must be that of xyz, {(count, 3)}.")
        if np.issubdtype(rgb.dtype, np.integer):
            rgb = rgb / (65535.0 if rgb.dtype == np.uint16 and rgb.max() > 255 else 255.0)
        outside = np.flatnonzero(~((rgb >= 0) & (rgb <= 1)).all(1))
        if outside.size:
            raise GsdError(
                f"{self.path}: the colour of point {outside[0]} is outside [0, 1] (or 0 to 255 as integers)."
            )
        return torch.from_numpy(rgb.astype(np.float32))
