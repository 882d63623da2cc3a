"""A run folder that may still be written to."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gsd.results.reading import finite
from gsd.results.runs import Run
from gsd.results.scene import load
from gsd.results.table import NOT_METRICS
from gsd.results.tail import Tail


class Followed:
    """The scene of its last checkpoint, and what else there is to look at.

    Raises GsdError where there is no checkpoint.
    """

    def __init__(self, folder: Path, particle: int, device: torch.device) -> None:
        self.folder, self.particle, self.device = folder, particle, device
        self.metrics = Tail(folder / "metrics.jsonl")
        self.reload()

    def reload(self) -> None:
        self._seen = self._stamps()
        self.scene, self.step = load(self.folder, self.particle, self.device)

    def new_records(self) -> list[dict[str, Any]]:
        """The numbers of the steps since the last look."""
        return [{name: value for name, value in record.items() if finite(value)} for record in self.metrics.new()]

    def is_newer(self) -> bool:
        """Whether there is a later checkpoint, or the results, since the scene was loaded."""
        return self._stamps() != self._seen

    def _stamps(self) -> list[int]:
        files = (self.folder / name for name in ("checkpoint.pt", "DONE"))
        return [file.stat().st_mtime_ns for file in files if file.exists()]

    @cached_property
    def config(self) -> dict[str, Any]:
        return Run(self.folder).recipe

    @property
    def prompt(self) -> str:
        return self.config["prompt"]

    @property
    def strips(self) -> list[Path]:
        """In the order of their steps, which are their names."""
        return sorted(f for f in (self.folder / "strips").glob("*.png") if re.fullmatch("[0-9]{1,12}", f.stem))

    @property
    def status(self) -> str:
        return f"Step {self.step} of {self.config['steps']}, {Run(self.folder).status}"

    @property
    def numbers(self) -> dict[str, float]:
        """What was measured of a finished run."""
        return {k: v for k, v in Run(self.folder).summary.items() if k not in NOT_METRICS and finite(v)}
