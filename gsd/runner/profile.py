"""Where the time of a step goes."""

from __future__ import annotations

import json

import torch
from rich.console import Console
from rich.table import Table

from gsd.backend.stopwatch import Stopwatch
from gsd.results.folder import RunFolder
from gsd.runner.watch import Watcher

STAGES = {
    "camera": "cameras, noise levels",
    "render": "images, depth, alpha",
    "encode": "images to latents",
    "noise": "noise maps",
    "prior": "UNet calls, LoRA training",
    "loss": "warping and the losses",
    "backward": "encoder's and renderer's",
    "optimiser": "update, densification",
    "record": "metrics, pictures, files",
}


class Profile(Watcher):
    """A stopwatch for the stages of a step; writes profile.json after the last one and prints it as a table.

    On a GPU a run that is watched is a little slower than one that is not.
    """

    def __init__(self, device: torch.device, folder: RunFolder) -> None:
        self.folder, self.stopwatch = folder, Stopwatch(device, STAGES)

    def begin(self, taken: int) -> None:
        self.stopwatch.begin()

    def lap(self, stage: str) -> None:
        self.stopwatch.lap(stage)

    def end(self) -> None:
        self.folder.write("profile.json", json.dumps(self.stopwatch.summary(), indent=2) + "\n")
        self.show()

    def show(self) -> None:
        """Print the summary as a table."""
        table = Table("stage", "what", title="Where a step's time goes")
        for column in ("median ms", "share", "first, ms"):
            table.add_column(column, justify="right")
        summary = self.stopwatch.summary()
        for stage, row in summary.items():
            figures = (f"{row['median_ms']:.2f}", f"{row['share']:.1%}", f"{row['first_ms']:.0f}")
            table.add_row(stage, STAGES[stage], *figures)
        medians, firsts = (sum(row[k] for row in summary.values()) for k in ("median_ms", "first_ms"))
        table.add_section()
        table.add_row("step", "", f"{medians:.2f}", "", f"{firsts:.0f}")
        Console().print(table)
