"""The scene of a run folder into a file.

Prior, init and noising are not made, so that a run of Stable Diffusion is exported without its weights. Each format has
its readers' axes: .ply and .splat y down, front towards -z; .glb, .obj and .spz y up, front towards +z.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import torch

from gsd.errors import GsdError
from gsd.protocols import OfField, OfGaussians
from gsd.rasterizer.ply import save_ply
from gsd.results.folder import RunFolder
from gsd.tools.export.depth import mesh_of_depth
from gsd.tools.export.field import mesh_of_field
from gsd.tools.export.mesh import save_mesh
from gsd.tools.export.splat import save_splat
from gsd.tools.export.spz import save_spz
from gsd.tools.scene import load

Format = Literal["glb", "obj", "ply", "splat", "spz"]
FORMATS: tuple[Format, ...] = get_args(Format)
OF_GAUSSIANS = {"ply": save_ply, "splat": save_splat, "spz": save_spz}


def export(
    folder: Path, kind: Format, out: Path, resolution: int, level: float | None, particle: int, device: torch.device
) -> int:
    """Write the scene of a run's last checkpoint to `out`, whole or not at all; returns the checkpoint's step.

    resolution: of a mesh, voxels along the longest side. level: of a field's mesh, the density of its surface; None:
    half the density where rays end. particle: which of a run's scenes.
    """
    representation, step = load(folder, particle, device)
    with RunFolder(out.parent).replacing(out.name) as temporary:
        if kind in OF_GAUSSIANS:
            if not isinstance(representation, OfGaussians):
                raise GsdError(f".{kind} holds Gaussians, and this run has none; choose --format glb or --format obj.")
            OF_GAUSSIANS[kind](temporary, representation.splats())
        elif isinstance(representation, OfField):
            save_mesh(temporary, mesh_of_field(representation, resolution, level, device))
        else:
            save_mesh(temporary, mesh_of_depth(representation, resolution, device))
    return step
