"""A scene from its run folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from gsd.errors import GsdError
from gsd.experiment import make_scene
from gsd.results.folder import RunFolder
from gsd.results.trust import configuration
from gsd.types import Context, PointCloud

NEEDED = {"prompt", "steps", "seed", "particles", "turntable", "representation"}  # of a run's config


def checkpoint(folder: Path) -> dict[str, Any]:
    """The last one."""
    saved = RunFolder(folder).read_checkpoint()
    if saved is None:
        raise GsdError(f"{folder} has no checkpoint yet; let the run go on, or repeat its command.")
    return saved


def recipe(folder: Path) -> DictConfig:
    """The config of a run from which its scene can be made again. Raises GsdError for anything else."""
    cfg = configuration(folder)
    if lacking := NEEDED - cfg.keys():
        raise GsdError(f"{folder / 'config.yaml'} is not a run's: it lacks {', '.join(sorted(lacking))}.")
    return cfg


def load(folder: Path, particle: int, device: torch.device) -> tuple[Any, int]:
    """A scene as the last checkpoint has it, and that checkpoint's step; nothing else of the run is made."""
    cfg, saved = recipe(folder), checkpoint(folder)
    if not 0 <= particle < cfg.particles:
        raise GsdError(f"--particle {particle}: this run has {cfg.particles}; choose from 0 to {cfg.particles - 1}.")
    with RunFolder(folder).restoring():
        state = saved["representation"]
        state = state["scenes"][particle] if cfg.particles > 1 else state
        nowhere = PointCloud(torch.zeros(1, 3), torch.zeros(1, 3), state)  # the checkpoint brings the scene
        scene = make_scene(cfg, Context(cfg.prompt, device, cfg.steps, cfg.seed, nowhere))
        scene.restore(state)
    return scene, saved["step"]
