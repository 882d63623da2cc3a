"""A start from a file of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from plyfile import PlyData, PlyElementParseError, PlyHeaderParseError

from gsd.errors import GsdError
from gsd.init.parts.cloud import Growing, fitted, turned
from gsd.protocols import Init
from gsd.random import Stream
from gsd.ranges import Length, Yaw
from gsd.rasterizer.ply import SH_C0, load_ply
from gsd.types import PointCloud

GREY = 0.5
SEEN = 0.1  # opacity below which a Gaussian is no point of the scene


class PointCloudFile(Init):
    """Points from a file: .ply (vertex x y z, optional red green blue) or .npz (xyz [N, 3], optional rgb [N, 3]).

    The scene.ply of a run and what Point-E saves (.npz with coords, R, G, B) are read too. Colours are 0 to 255 if
    stored as integers, else 0 to 1; grey where there are none. The cloud is turned by `yaw` degrees about the z axis,
    then centred and scaled so that its farthest point lies `radius` (world units) from the origin; radius null keeps
    its place and size. grow: noisy point growing.
    """

    def __init__(self, path: str, radius: Length | None = 0.6, yaw: Yaw = 0.0, grow: Growing | None = None) -> None:
        self.path, self.radius, self.yaw, self.grow = Path(path), radius, yaw, grow
        self.cloud = self._normalised(*self._read())  # at construction: a bad file is refused before the run starts

    def __call__(self, rng: Stream) -> PointCloud:
        return self.cloud if self.grow is None else self.grow(self.cloud, rng)

    def _read(self) -> tuple[np.ndarray, np.ndarray | None]:
        if not self.path.is_file():
            raise GsdError(f"init.path={self.path}: no such file; give a .ply or .npz of points.")
        readers = {".ply": _read_ply, ".npz": _read_npz}
        if self.path.suffix.lower() not in readers:
            raise GsdError(f"init.path={self.path}: unknown kind of file; give a .ply or .npz.")
        return readers[self.path.suffix.lower()](self.path)

    def _normalised(self, xyz: np.ndarray, rgb: np.ndarray | None) -> PointCloud:
        if xyz.ndim != 2 or xyz.shape[1] != 3 or len(xyz) == 0:
            raise GsdError(f"{self.path}: xyz has shape {tuple(xyz.shape)}; it must be [N, 3] with N >= 1.")
        bad = np.flatnonzero(~np.isfinite(xyz).all(1))
        if bad.size:
            raise GsdError(f"{self.path}: point {bad[0]} is not finite ({bad.size} in all); remove such points.")
        if rgb is None:
            rgb = np.full_like(xyz, GREY)
        if rgb.shape != xyz.shape:
            raise GsdError(
                f"{self.path}: rgb has shape {tuple(rgb.shape)}; it must be that of xyz, {tuple(xyz.shape)}."
            )
        if np.issubdtype(rgb.dtype, np.integer):
            rgb = rgb / 255.0
        outside = np.flatnonzero(~((rgb >= 0) & (rgb <= 1)).all(1))
        if outside.size:
            raise GsdError(
                f"{self.path}: the colour of point {outside[0]} is outside [0, 1] (or 0 to 255 as integers)."
            )
        points = turned(torch.from_numpy(xyz.astype(np.float32)), self.yaw)
        if self.radius is not None:
            points = fitted(points, self.radius)
        return PointCloud(points, torch.from_numpy(rgb.astype(np.float32)))


def _read_ply(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        ply = PlyData.read(path)
    except (PlyHeaderParseError, PlyElementParseError, ValueError, OSError) as error:
        raise GsdError(f"{path}: not a readable PLY file ({error}).") from error
    if "vertex" not in ply:
        raise GsdError(f"{path}: the PLY file has no 'vertex' element.")
    vertex = ply["vertex"]
    names = {p.name for p in vertex.properties}
    for wanted in ("x", "y", "z"):
        if wanted not in names:
            raise GsdError(
                f"{path}: the PLY vertices have no property '{wanted}'; they have {', '.join(sorted(names))}."
            )
    if "f_dc_0" in names:
        return _of_gaussians(path)
    xyz = np.stack([vertex[k] for k in "xyz"], 1).astype(np.float64)
    colours = ("red", "green", "blue")
    return xyz, np.stack([vertex[k] for k in colours], 1) if names.issuperset(colours) else None


def _of_gaussians(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Centres and base colours of the Gaussians that can be seen, in world axes."""
    splats = load_ply(path)
    seen = splats.opacity_logits.sigmoid() > SEEN
    return splats.means[seen].numpy(), (0.5 + SH_C0 * splats.sh[seen, 0]).clamp(0, 1).numpy()


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = dict(data)
    except Exception as error:  # numpy raises half a dozen kinds for a damaged archive
        raise GsdError(f"{path}: not a readable NPZ file ({error}).") from error
    if "coords" in arrays and "xyz" not in arrays:
        arrays["xyz"] = arrays["coords"]
        if {"R", "G", "B"} <= arrays.keys():
            arrays["rgb"] = np.stack([arrays[k] for k in "RGB"], -1)
    if "xyz" not in arrays:
        raise GsdError(f"{path}: the NPZ file has no array 'xyz'; it has {', '.join(sorted(arrays)) or 'none'}.")
    for name in ("xyz", "rgb"):
        if name in arrays and not np.issubdtype(arrays[name].dtype, np.number):
            raise GsdError(f"{path}: array '{name}' holds {arrays[name].dtype}, not numbers.")
    return arrays["xyz"], arrays.get("rgb")
