"""A run that has died without a word, by whatever launcher: said in its folder, so that it can be retried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from gsd.errors import GsdError
from gsd.results.folder import RunFolder


def died(launcher: Any, overrides: Sequence[str], death: GsdError) -> JobReturn:
    """The result of the launcher's run with these overrides; what the run itself has said of its failure stays."""
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    folder = RunFolder(Path(config.hydra.sweep.dir) / str(OmegaConf.select(config, "hydra.sweep.subdir")))
    if not (folder.done or (folder / "FAILED").exists()):
        folder.fail(f"{death}\n")
    return JobReturn(overrides=overrides, _return_value=death, status=JobStatus.FAILED)
