"""Where the points of a file come to lie in our world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.init.parts.cloud import fitted, turned

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
