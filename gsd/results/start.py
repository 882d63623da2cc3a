"""Another run's scene as the start of a run: only that of a run that is done is given away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gsd.config import options
from gsd.errors import GsdError
from gsd.experiment import Described, check_particle, continues
from gsd.protocols import Representation
from gsd.results.runs import Run
from gsd.results.scene import load, recipe
from gsd.settings import STAGE

KEY = "init.path"


def open_scene(path: str, particle: int, ours: Described | None, device: torch.device) -> tuple[Any, bool]:
    """The scene of a finished run, and whether a run whose scene is `ours` takes it up whole (see `continues`).

    The cheap files are read first, so that most refusals come before PyTorch has read a checkpoint.

    Raises:
        GsdError: for a folder that does not exist, is no run's, is not done, is damaged, or holds a scene that does not
            fit.
    """
    folder, where = Path(path).expanduser(), f"{KEY}={path}"
    _refuse_unfinished(folder, where)
    cfg = recipe(folder)
    check_particle(particle, cfg.particles, folder)
    theirs = options(cfg.representation, "representation", Representation)
    whole = ours is not None and continues(theirs, ours, where)
    return load(folder, particle, device)[0], whole


def _refuse_unfinished(folder: Path, where: str) -> None:
    if where.startswith(f"{KEY}={STAGE}"):
        raise GsdError(
            f"{where} is a stage of the run's own, which the command gsd and gsd.run take before it; to build this "
            "config alone give a run folder."
        )
    if not folder.is_dir():
        raise GsdError(f"{where}: no such folder; give that of a finished run, outputs/PROMPT/SIGNATURE.")
    if not (folder / "config.yaml").is_file():
        raise GsdError(f"{where} is no run folder: it has no config.yaml; give outputs/PROMPT/SIGNATURE.")
    run = Run(folder)
    if run.status == "failed":
        raise GsdError(
            f"{where}: this run has failed ({run.reason or 'for no known reason'}); mend and repeat it first."
        )
    if run.status != "done":
        raise GsdError(f"{where}: this run is not done; repeat its command, which continues it, first.")
