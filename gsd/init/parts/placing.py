"""Where the points of a file come to lie in our world."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import rotation_matrices
from gsd.init.parts.cloud import fitted, turned
from gsd.rasterizer import ply

NEAREST, FARTHEST = 1e-4, 1e4  # world units: sizes and places that a camera of a run can see something of
MOST, SPOT = 0.9, 1e-5  # so many of a cloud's points may not be within such a part of its size
FINEST = 1e-3  # of a cloud's size: what may be lost of its coordinates in float32


def put(xyz: np.ndarray, path: Path, radius: float | None, yaw: float) -> Float[Tensor, "N 3"]:
    """Turned by `yaw` degrees, centred and scaled to `radius` (None: not), in float64 until the end, since coordinates
    on a map leave float32 no digits for the shape.

    Raises GsdError, with the name of the file, for points that are not finite, in one place or out of sight.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3 or len(xyz) == 0:
        raise GsdError(f"{path}: xyz has shape {tuple(xyz.shape)}; it must be [N, 3] with N >= 1.")
    xyz = xyz.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(xyz).all(1))
    if bad.size:
        raise GsdError(f"{path}: point {bad[0]} is not finite ({bad.size} in all); remove such points.")
    if len(xyz) > 1 and (xyz == xyz[0]).all():
        raise GsdError(f"{path}: all {len(xyz)} points lie in one place; give a cloud that has a shape.")
    unit = xyz / (np.abs(xyz).max() or 1.0)  # so that turning cannot overflow
    _refuse_a_spot(unit, path)
    if radius is None:
        _refuse_out_of_sight(xyz, path)
        return turned(torch.from_numpy(xyz), yaw).float()
    return fitted(turned(torch.from_numpy(unit), yaw), radius).float()


def put_splats(
    splats: ply.Splats, seen: Bool[np.ndarray, " N"], path: Path, radius: float | None, yaw: float
) -> ply.Splats:
    """All Gaussians of a file, moved as `put` moves the means of those that can be seen: turned, and their sizes scaled
    with their distances. Rotations get the length 1.

    Raises GsdError, with the name of the file, for a rotation of no length and a Gaussian larger than all that is seen.
    """
    half = math.radians(yaw) / 2
    quat = torch.tensor([math.cos(half), 0.0, 0.0, math.sin(half)])
    if not (long := splats.quats.norm(dim=1) > 0).all():
        raise GsdError(f"{path}: the rotation of Gaussian {int(long.long().argmin())} is 0 0 0 0; write the file anew.")
    here = ply.turned(splats, rotation_matrices(quat[None])[0], quat)
    here = replace(here, quats=torch.nn.functional.normalize(here.quats, dim=1))
    if radius is not None:
        wide = here.means.double()
        inside = wide[torch.from_numpy(seen)]
        centred = wide - (inside.amin(0) + inside.amax(0)) / 2
        far = float(centred[torch.from_numpy(seen)].norm(dim=1).max())
        scale = radius / far if far > 0 else 1.0
        here = replace(here, means=(scale * centred).float(), log_scales=here.log_scales + math.log(scale))
    if (largest := float(here.log_scales.max())) > math.log(FARTHEST):
        raise GsdError(f"{path}: a Gaussian of it is e^{largest:.3g} world units large; scale_0 ... are logarithms.")
    return here


def _refuse_a_spot(unit: np.ndarray, path: Path) -> None:
    """Of a stray point far away, scaling makes the ball, and of all others a spot in it."""
    away = np.abs(unit - np.median(unit, 0)).max(1)
    if np.quantile(away, MOST) < SPOT * away.max():
        raise GsdError(
            f"{path}: nearly all of its {len(unit)} points lie in one spot, since point {away.argmax()} is so "
            "far away; remove such points."
        )


def _refuse_out_of_sight(xyz: np.ndarray, path: Path) -> None:
    far, size = np.abs(xyz).max(), (xyz.max(0) / 2 - xyz.min(0) / 2).max() * 2
    lost = far * np.finfo(np.float32).eps
    if far > FARTHEST or 0 < size < NEAREST or lost > FINEST * size > 0:
        raise GsdError(
            f"{path}: its coordinates reach {far:.3g} and its size is {size:.3g}, of which no camera sees "
            "anything; give init.radius=0.6, which centres and scales it, in the place of null."
        )
