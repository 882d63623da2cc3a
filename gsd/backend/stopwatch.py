"""A stopwatch for the stages of a step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable

import torch


class Stopwatch:
    """Books the seconds between two laps on the stage that ends.

    On a GPU each lap waits for the device, so that time is booked where it is spent.
    """

    def __init__(self, device: torch.device, stages: Iterable[str] = ()) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = {stage: [] for stage in stages}

    def begin(self) -> None:
        self.last = now(self.device)

    def lap(self, stage: str) -> None:
        ended = now(self.device)
        self.seconds.setdefault(stage, []).append(ended - self.last)
        self.last = ended

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


def now(device: torch.device) -> float:
    """Seconds by the wall clock once the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
