"""3D Gaussians as .spz, Niantic's compressed layout: about a tenth of .ply."""

from __future__ import annotations

import io
from pathlib import Path

from gsd.errors import GsdError
from gsd.meshing.mesh import QUAT_TO_Y_UP, WORLD_TO_Y_UP
from gsd.rasterizer.ply import Splats, described, turned


def save_spz(path: Path, splats: Splats, version: int = 2) -> None:
    """Axes: x right, y up, z back, which the converter itself leaves as they are.

    version: 2, which all viewers read, or 3, which has finer rotations and which some of them fail on.
    """
    try:
        from gaussforge import GaussForge
    except ImportError:
        raise GsdError(
            ".spz is written by the package gaussforge, which is not installed; get it with "
            "pip install gaussforge, or choose --format ply or --format splat."
        ) from None
    buffer = io.BytesIO()
    described(turned(splats, WORLD_TO_Y_UP, QUAT_TO_Y_UP), []).write(buffer)
    result = GaussForge().convert(buffer.getvalue(), "ply", "spz", spz_version=version)
    if "error" in result:
        raise GsdError(f"gaussforge could not write .spz ({result['error']}); choose --format ply or --format splat.")
    path.write_bytes(result["data"])
