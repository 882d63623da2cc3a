"""Files of points, .ply and .npz, as they are stored: nothing is trusted that a file says of its own size."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from gsd.errors import GsdError, reason
from gsd.rasterizer.ply import BASE, SH_C0, WHOLE, WORLD_TO_FILE, Splats, splats_of
from gsd.rasterizer.ply_file import vertices

SEEN = 0.1  # opacity below which a Gaussian is no point of the scene
MOST = 100_000_000  # points: more do not fit into the memory of a run
RGB = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
OF_GAUSSIANS = {"opacity", "scale_0", "rot_0", *BASE}  # a file with one of these has their axes
NAMES = {"xyz": ("xyz", "coords"), "rgb": ("rgb", "colors")}  # of arrays in a .npz


@dataclass(frozen=True)
class Points:
    """In world axes, as far as a file's axes are known."""

    xyz: np.ndarray
    rgb: np.ndarray | None
    splats: Splats | None = None  # all of a file of Gaussians
    seen: np.ndarray | None = None  # which of them are the points


def from_ply(path: Path) -> Points:
    columns = {name.lower(): column for name, column in vertices(path).items()}
    for wanted in "xyz":
        if wanted not in columns:
            raise GsdError(
                f"{path}: the PLY vertices have no property '{wanted}'; they have {', '.join(sorted(columns))}."
            )
    _refuse_many(path, len(columns["x"]))
    xyz = np.stack([columns[k] for k in "xyz"], 1).astype(np.float64)
    rgb = _colours(columns)
    if not OF_GAUSSIANS & columns.keys():
        return Points(xyz, rgb)
    xyz = xyz @ WORLD_TO_FILE.numpy().astype(np.float64)
    if "opacity" not in columns or not len(xyz):
        return Points(xyz, rgb)
    seen = columns["opacity"].astype(np.float64) > math.log(SEEN / (1 - SEEN))  # stored before the sigmoid
    if not seen.any():
        raise GsdError(
            f"{path}: of its {len(xyz)} Gaussians none can be seen (opacity above {SEEN:g}); give another file."
        )
    splats = splats_of(columns, path) if _whole(columns) else None
    return Points(xyz[seen], None if rgb is None else rgb[seen], splats, seen)


def _whole(columns: dict[str, np.ndarray]) -> bool:
    """Whether these are Gaussians with all that makes them, whose colours are not under another name."""
    return columns.keys() >= WHOLE and (
        any(columns[name].any() for name in BASE) or not any(columns.keys() >= set(names) for names in RGB)
    )


def _colours(columns: dict[str, np.ndarray]) -> np.ndarray | None:
    """The base colours of Gaussians, unless they were left at nothing beside colours of another name."""
    found = next((names for names in RGB if columns.keys() >= set(names)), None)
    if columns.keys() >= set(BASE):
        base = np.stack([columns[name] for name in BASE], 1).astype(np.float64)
        if base.any() or found is None:
            return (0.5 + SH_C0 * base).clip(0, 1)
    return None if found is None else np.stack([columns[name] for name in found], 1)


def from_npz(path: Path) -> Points:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name.removesuffix(".npy") for name in archive.namelist()}
            named = {kind: next((n for n in names if n in arrays), None) for kind, names in NAMES.items()}
            if named["xyz"] is None:
                raise GsdError(
                    f"{path}: the NPZ file has no array 'xyz'; it has {', '.join(sorted(arrays)) or 'none'}."
                )
            xyz = _array(path, archive, named["xyz"])
            rgb = None if named["rgb"] is None else _array(path, archive, named["rgb"])
            if rgb is None and arrays >= set("RGB"):
                rgb = _stacked(path, [_array(path, archive, name) for name in "RGB"])
    except GsdError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for a damaged archive
        raise GsdError(f"{path}: not a readable NPZ file ({reason(error)}).") from error
    return Points(xyz, rgb)


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Its header is read first: it must hold plain numbers, as many as the file has bytes for."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        shape, dtype = _declared(file)
    if dtype.hasobject:
        raise GsdError(f"{path}: array '{name}' holds pickled objects, which are never read; save it as numbers.")
    if not (np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.floating)):
        raise GsdError(f"{path}: array '{name}' holds {dtype}, not numbers.")
    if dtype.itemsize * math.prod(shape) > info.file_size:
        raise GsdError(f"{path}: array '{name}' declares the shape {shape} and is shorter; write the file anew.")
    _refuse_many(path, shape[0] if shape else 0)
    with archive.open(info) as file:
        return npy.read_array(file, allow_pickle=False)


def _declared(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _stacked(path: Path, channels: list[np.ndarray]) -> np.ndarray:
    shapes = [channel.shape for channel in channels]
    if len(set(shapes)) > 1:
        raise GsdError(f"{path}: its arrays R, G and B have the shapes {', '.join(map(str, shapes))}, not one.")
    return np.stack(channels, -1)


def _refuse_many(path: Path, count: int) -> None:
    if count > MOST:
        raise GsdError(f"{path}: {count} points are more than the {MOST} that a start takes; thin the cloud out.")


READERS: dict[str, Callable[[Path], Points]] = {".ply": from_ply, ".npz": from_npz}
