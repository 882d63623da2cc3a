"""The scene of a run folder into a file.

Prior, init and noising are not made, so that a run of Stable Diffusion is exported without its weights. Each format has
its readers' axes: .ply and .splat y down, front towards -z; .glb, .obj and .spz y up, front towards +z.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from gsd.errors import GsdError
from gsd.meshing.bake import coloured, textured
from gsd.meshing.extract import surface_of
from gsd.meshing.mesh import Mesh, TexturedMesh
from gsd.meshing.texture import read
from gsd.protocols import OfGaussians, OfMesh
from gsd.rasterizer.ply import opaque, save_ply
from gsd.results.folder import RunFolder
from gsd.results.scene import load
from gsd.tools.export import mesh_file
from gsd.tools.export.splat import save_splat
from gsd.tools.export.spz import save_spz

Colors = Literal["texture", "vertex"]
Format = Literal["glb", "obj", "ply", "splat", "spz"]
FORMATS: tuple[Format, ...] = get_args(Format)
OF_GAUSSIANS = {"ply": save_ply, "splat": save_splat, "spz": save_spz}


@dataclass(frozen=True)
class Options:
    """What is written, and how."""

    kind: Format
    resolution: int = 160  # of a mesh: voxels along the longest side
    colors: Colors = "texture"  # of a mesh
    level: float | None = None  # of a field's mesh: density of its surface; None: half the density where rays end
    spz_version: int = 2  # of the format .spz: 2 or 3
    min_opacity: float = 0.02  # fainter Gaussians are left out: no view shows them, but viewers frame them


def export(folder: Path, out: Path, options: Options, particle: int, device: torch.device) -> int:
    """Write the scene of a run's last checkpoint to `out`, whole or not at all; returns the checkpoint's step.

    particle: which of a run's scenes.
    """
    kind = options.kind
    representation, step = load(folder, particle, device)
    target = RunFolder(out.parent)
    if kind in OF_GAUSSIANS:
        if not isinstance(representation, OfGaussians):
            raise GsdError(f".{kind} holds Gaussians, and this run has none; choose --format glb or --format obj.")
        splats = opaque(representation.splats(), options.min_opacity)
        with target.replacing(out.name) as temporary:
            if kind == "spz":
                save_spz(temporary, splats, options.spz_version)
            else:
                OF_GAUSSIANS[kind](temporary, splats)
    else:
        for name, content in _mesh_files(representation, out.stem, options, device).items():
            target.write(name, content)
    return step


def _mesh_files(representation: Any, stem: str, options: Options, device: torch.device) -> dict[str, bytes]:
    """Contents by file name; the one that names the others comes last."""
    by_vertex = options.colors == "vertex"
    if isinstance(representation, OfMesh):
        mesh = _on_vertices(representation.mesh()) if by_vertex else representation.mesh()
    else:
        surface = surface_of(representation, options.resolution, options.level, device)
        mesh = coloured(surface) if by_vertex else textured(surface)
    return {f"{stem}.glb": mesh_file.glb(mesh)} if options.kind == "glb" else mesh_file.obj(mesh, stem)


def _on_vertices(mesh: TexturedMesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.normals, mesh.faces, read(mesh.texture.permute(2, 0, 1), mesh.uv))
