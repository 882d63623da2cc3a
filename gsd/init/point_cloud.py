"""A start from a file of points."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from gsd.errors import GsdError
from gsd.init.parts.cloud import Growing, fitted, turned
from gsd.init.parts.cloud_file import READERS, Points
from gsd.protocols import Init
from gsd.random import Stream
from gsd.ranges import Length, Yaw
from gsd.types import PointCloud

GREY = 0.5
NEAREST, FARTHEST = 1e-4, 1e4  # world units: sizes and places that a camera of a run can see something of
MOST, SPOT = 0.9, 1e-5  # so many of a cloud's points may not be within such a part of its size
FINEST = 1e-3  # of a cloud's size: what may be lost of its coordinates in float32


class PointCloudFile(Init):
    """Points from a file: .ply (vertex x y z, optional red green blue) or .npz (xyz [N, 3], optional rgb [N, 3]).

    Files of Gaussians are read too (means, colour and opacity; the scene.ply of a run), and what Point-E saves (.npz
    with coords, R, G, B). Colours are 0 to 255 if stored as integers (0 to 65535 as uint16), else 0 to 1, and may be
    called r g b or diffuse_red ...; where there are none, grey is taken and that is said. The cloud is turned by `yaw`
    degrees about the z axis, then centred and scaled so that its farthest point lies `radius` (world units) from the
    origin; radius null keeps its place and size. grow: noisy point growing.
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
            raise GsdError(f"init.path={self.path}: unknown kind of file; give a .ply or .npz.")
        return READERS[self.path.suffix.lower()](self.path)

    def _normalised(self, points: Points) -> PointCloud:
        return PointCloud(self._placed(points.xyz), self._coloured(points.rgb, len(points.xyz)))

    def _placed(self, xyz: np.ndarray) -> torch.Tensor:
        """Turned, centred and scaled in float64, since coordinates on a map leave float32 no digits for the shape."""
        if xyz.ndim != 2 or xyz.shape[1] != 3 or len(xyz) == 0:
            raise GsdError(f"{self.path}: xyz has shape {tuple(xyz.shape)}; it must be [N, 3] with N >= 1.")
        xyz = xyz.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(xyz).all(1))
        if bad.size:
            raise GsdError(f"{self.path}: point {bad[0]} is not finite ({bad.size} in all); remove such points.")
        if len(xyz) > 1 and (xyz == xyz[0]).all():
            raise GsdError(f"{self.path}: all {len(xyz)} points lie in one place; give a cloud that has a shape.")
        unit = xyz / (np.abs(xyz).max() or 1.0)  # so that turning cannot overflow
        self._refuse_a_spot(unit)
        if self.radius is None:
            self._refuse_out_of_sight(xyz)
            return turned(torch.from_numpy(xyz), self.yaw).float()
        return fitted(turned(torch.from_numpy(unit), self.yaw), self.radius).float()

    def _refuse_a_spot(self, unit: np.ndarray) -> None:
        """Of a stray point far away, scaling makes the ball, and of all others a spot in it."""
        away = np.abs(unit - np.median(unit, 0)).max(1)
        if np.quantile(away, MOST) < SPOT * away.max():
            raise GsdError(
                f"{self.path}: nearly all of its {len(unit)} points lie in one spot, since point {away.argmax()} is so "
                "far away; remove such points."
            )

    def _refuse_out_of_sight(self, xyz: np.ndarray) -> None:
        far, size = np.abs(xyz).max(), (xyz.max(0) / 2 - xyz.min(0) / 2).max() * 2
        lost = far * np.finfo(np.float32).eps
        if far > FARTHEST or 0 < size < NEAREST or lost > FINEST * size > 0:
            raise GsdError(
                f"{self.path}: its coordinates reach {far:.3g} and its size is {size:.3g}, of which no camera sees "
                "anything; give init.radius=0.6, which centres and scales it, in the place of null."
            )

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
