"""A run folder back to its scene, and the scene into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from omegaconf import OmegaConf

from gsd.config import make
from gsd.errors import GsdError
from gsd.export.depth import mesh_of_depth
from gsd.export.field import mesh_of_field
from gsd.export.mesh import save_mesh
from gsd.export.ply import save_ply
from gsd.export.splat import save_splat
from gsd.export.spz import save_spz
from gsd.folder import RunFolder
from gsd.types import PointCloud

Format = Literal["glb", "obj", "ply", "splat", "spz"]
FORMATS: tuple[Format, ...] = get_args(Format)
OF_GAUSSIANS = {"ply": save_ply, "splat": save_splat, "spz": save_spz}


def export(folder: Path, kind: Format, out: Path, resolution: int, level: float, device: torch.device) -> int:
    """Write the scene of a run's last checkpoint to `out`, whole or not at all; returns the checkpoint's step.

    resolution and level are for meshes: voxels along the longest side, and the density that is surface (fields only).
    """
    representation, step = load(folder, device)
    with RunFolder(out.parent).replacing(out.name) as temporary:
        if kind in OF_GAUSSIANS:
            splats = getattr(representation, "splats", None)
            if splats is None:
                raise GsdError(f".{kind} holds Gaussians, and this run has none; choose --format glb or --format obj.")
            OF_GAUSSIANS[kind](temporary, splats())
        elif (field := getattr(representation, "field", None)) is not None:
            save_mesh(temporary, mesh_of_field(field, resolution, level, device))
        else:
            save_mesh(temporary, mesh_of_depth(representation, resolution, device))
    return step


def load(folder: Path, device: torch.device) -> tuple[Any, int]:
    """The representation as the last checkpoint has it, and that checkpoint's step; nothing else of the run is made."""
    if not (folder / "config.yaml").is_file():
        raise GsdError(f"{folder} is no run folder: it has no config.yaml; give outputs/PROMPT/SIGNATURE.")
    path = folder / "checkpoint.pt"
    if not path.is_file():
        raise GsdError(f"{folder} has no checkpoint yet; let the run go on, or repeat its command.")
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise GsdError(
            f"{path} is damaged ({type(error).__name__}); delete it and repeat the run's command."
        ) from error
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    context = {"prompt": cfg.prompt, "device": device, "steps": cfg.steps}
    densify = make(cfg.densify, "densify", **context) if cfg.densify else None
    nowhere = PointCloud(torch.zeros(1, 3), torch.zeros(1, 3))  # the checkpoint brings the scene
    representation = make(
        cfg.representation, "representation", points=nowhere, densify=densify, seed=cfg.seed, **context
    )
    representation.restore(saved["representation"])
    return representation, saved["step"]
