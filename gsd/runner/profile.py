"""Where the time of a step goes."""

from __future__ import annotations

import json
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table

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

    On a GPU each lap waits for the device, so that time is booked where it is spent; a run that is watched is a little
    slower than one that is not.
    """

    def __init__(self, device: torch.device, folder: RunFolder) -> None:
        self.device, self.folder = device, folder
        self.seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}

    def begin(self, taken: int) -> None:
        self.last = time.perf_counter()

    def lap(self, stage: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[stage].append(now - self.last)
        self.last = now

    def end(self) -> None:
        self.folder.write("profile.json", json.dumps(self.summary(), indent=2) + "\n")
        self.show()

    def summary(self) -> dict[str, dict[str, float]]:
        """Per stage: its median and its first time in milliseconds, and its share of all steps but the first.

        The first step compiles kernels and fills caches.
        """
        later = {stage: s[1:] or s for stage, s in self.seconds.items() if s}
        total = sum(map(sum, later.values()))
        return {
            stage: {
                "median_ms": 1e3 * statistics.median(s),
                "first_ms": 1e3 * self.seconds[stage][0],
                "share": sum(s) / total,
            }
            for stage, s in later.items()
        }

    def show(self) -> None:
        """Print the summary as a table."""
        table = Table("stage", "what", title="Where a step's time goes")
        for column in ("median ms", "share", "first, ms"):
            table.add_column(column, justify="right")
        summary = self.summary()
        for stage, row in summary.items():
            figures = (f"{row['median_ms']:.2f}", f"{row['share']:.1%}", f"{row['first_ms']:.0f}")
            table.add_row(stage, STAGES[stage], *figures)
        medians, firsts = (sum(row[k] for row in summary.values()) for k in ("median_ms", "first_ms"))
        table.add_section()
        table.add_row("step", "", f"{medians:.2f}", "", f"{firsts:.0f}")
        Console().print(table)
