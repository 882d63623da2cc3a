"""A run folder back to its scene, and the scene into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from omegaconf import OmegaConf

from gsd.errors import GsdError
from gsd.experiment import make_scene
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


def export(
    folder: Path, kind: Format, out: Path, resolution: int, level: float | None, particle: int, device: torch.device
) -> int:
    """Write the scene of a run's last checkpoint to `out`, whole or not at all; returns the checkpoint's step.

    resolution and level are for meshes: voxels along the longest side, and the density that is surface (fields only;
    None: half of that where rays end).
    particle: which of a run's scenes.
    """
    representation, step = load(folder, particle, device)
    with RunFolder(out.parent).replacing(out.name) as temporary:
        if kind in OF_GAUSSIANS:
            splats = getattr(representation, "splats", None)
            if splats is None:
                raise GsdError(f".{kind} holds Gaussians, and this run has none; choose --format glb or --format obj.")
            OF_GAUSSIANS[kind](temporary, splats())
        elif hasattr(representation, "field"):
            save_mesh(temporary, mesh_of_field(representation, resolution, level, device))
        else:
            save_mesh(temporary, mesh_of_depth(representation, resolution, device))
    return step


def load(folder: Path, particle: int, device: torch.device) -> tuple[Any, int]:
    """A scene as the last checkpoint has it, and that checkpoint's step; nothing else of the run is made."""
    if not (folder / "config.yaml").is_file():
        raise GsdError(f"{folder} is no run folder: it has no config.yaml; give outputs/PROMPT/SIGNATURE.")
    saved = RunFolder(folder).read_checkpoint()
    if saved is None:
        raise GsdError(f"{folder} has no checkpoint yet; let the run go on, or repeat its command.")
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    if not 0 <= particle < cfg.particles:
        raise GsdError(f"--particle {particle}: this run has {cfg.particles}; choose from 0 to {cfg.particles - 1}.")
    nowhere = PointCloud(torch.zeros(1, 3), torch.zeros(1, 3))  # the checkpoint brings the scene
    context = {"prompt": cfg.prompt, "device": device, "steps": cfg.steps}
    scene = make_scene(cfg, cfg.seed + particle, nowhere, context)
    state = saved["representation"]
    scene.restore(state["scenes"][particle] if cfg.particles > 1 else state)
    return scene, saved["step"]
