"""What the stages share: the device, the sizes, a folder for checkpoints, and ways to time and to compare."""

from __future__ import annotations

import gc
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from omegaconf import DictConfig

from gsd.backend.stopwatch import now
from gsd.cli.hydra import compose, plain
from gsd.rasterizer import BACKENDS
from gsd.tools.gpu_check.random_model import random_checkpoint, random_controlnet
from gsd.tools.gpu_check.rasterizers import ELSEWHERE, SLOW, first_call
from gsd.tools.gpu_check.result import Results
from gsd.tools.gpu_check.sizes import Sizes


class Bench:
    """The device under test. As a context it has a folder for what is large and not kept."""

    def __init__(self, device: torch.device, sizes: Sizes, results: Results) -> None:
        self.device, self.sizes, self.results = device, sizes, results

    def __enter__(self) -> Bench:
        self._large = TemporaryDirectory(dir=self.results.folder, prefix=".large-")
        return self

    def __exit__(self, *error: object) -> None:
        self._large.cleanup()

    @property
    def large(self) -> Path:
        return Path(self._large.name)

    @cached_property
    def backends(self) -> list[str]:
        """The rasterisers that work here, the fast ones first."""
        known = sorted((name for name in BACKENDS if name not in ELSEWHERE), key=SLOW.__contains__)
        return [name for name in known if not first_call(name, self.device)]

    @property
    def options(self) -> list[str]:
        """Overrides of a run of Gaussians on the device."""
        return [f"device={self.device}", f"representation.backend={self.backends[0]}"]

    def config(self, *overrides: str, of_field: Sequence[str] = ()) -> DictConfig:
        """A run's config on the device. Only Gaussians have a rasteriser, and a field gets overrides of its own."""
        device, rasterizer = self.options
        scene = compose(*overrides).representation
        own = (rasterizer,) if "backend" in scene else of_field if "log2_table" in scene else ()
        return plain(compose(*overrides, device, *own))

    @cached_property
    def checkpoint(self) -> Path:
        return random_checkpoint(self.large / "model", self.sizes.network, self.device)

    @property
    def prior(self) -> tuple[str, ...]:
        """Overrides of a prior that reads the random checkpoint."""
        return f"prior.model={self.checkpoint}", f"prior.dtype={self.sizes.dtype}"

    @cached_property
    def controlnet(self) -> Path:
        return random_controlnet(self.large / "controlnet", self.sizes.network, self.device)

    def milliseconds(self, once: Callable[[], Any]) -> float:
        """Median of some calls, after a few that do not count."""
        times = []
        for _ in range(self.sizes.warm + self.sizes.repeats):
            began = now(self.device)
            once()
            times.append(1e3 * (now(self.device) - began))
        return statistics.median(times[self.sizes.warm :])

    def clear(self) -> None:
        """Give the GPU's memory back."""
        gc.collect()
        torch.cuda.empty_cache()


@contextmanager
def syncs() -> Iterator[list[str]]:
    """The lines of Python in which the host waited for the GPU, as PyTorch sees it."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lines
        finally:
            torch.cuda.set_sync_debug_mode("default")
            told = [each for each in warned if "synchroniz" in str(each.message)]
            lines += [f"{'/'.join(Path(each.filename).parts[-2:])}:{each.lineno}" for each in told]
