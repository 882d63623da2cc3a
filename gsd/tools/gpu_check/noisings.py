"""Every noising at real size: the maps of the GPU against those of the CPU, twice the same bits, and their time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.cli.folders import options
from gsd.geometry import geometry_at
from gsd.noising.check.acceptance import to_device
from gsd.noising.check.reference import cameras, render, surface
from gsd.protocols import Noising
from gsd.random import Stream
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.compare import agrees, differences
from gsd.tools.gpu_check.result import Row
from gsd.tools.noising_check import configured
from gsd.types import Geometry

CHANNELS = 4
VARIANTS = (
    "consistent noising.kernel=tent",
    "consistent noising.upsample=9 noising.cells=0",
    "integral noising.algorithm=deng",
    "lattice noising.kernel=tent",
)
SHOWN = "consistent"


def rows(bench: Bench) -> Iterator[Row]:
    here, there = (_seen(bench, device) for device in (torch.device("cpu"), bench.device))
    for setting in (*options("noising"), *VARIANTS):
        noising = configured(f"noising={setting}".split())
        expected, found, again = (_maps(noising, seen) for seen in (here, there, there))
        apart = differences(found, expected)
        same = torch.equal(found.cpu(), again.cpu())
        if setting == SHOWN:
            pictures = [_picture(x, view) for x in (expected, found) for view in (0, 1)]
            bench.results.picture("noisings", f"{setting}: two views on the CPU, the same on the GPU", pictures)
        milliseconds = bench.milliseconds(lambda: _maps(noising, there))  # noqa: B023  # called at once
        figures = apart | {"same bits again": "yes" if same else "no", "ms on the GPU": milliseconds}
        yield Row(setting, figures, agrees(apart) and same)


def _seen(bench: Bench, device: torch.device) -> Geometry:
    """Two views, 5 degrees apart, of the ideal scene."""
    size, views = bench.sizes.latents, cameras(0.0, 5.0, size=bench.sizes.latents)
    scene, shown = (to_device(x, device) for x in (surface(bench.sizes.points), render(views)))
    return geometry_at(scene, shown, views.to(device), size, size)


def _maps(noising: Noising, seen: Geometry) -> Float[Tensor, "V C h w"]:
    return noising(seen, CHANNELS, Stream(0, "gpu-check", 1))


def _picture(maps: Float[Tensor, "V C h w"], view: int) -> Float[Tensor, "3 h w"]:
    return 0.5 + maps[view, :3] / 6
