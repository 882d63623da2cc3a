"""What a run will need of the machine's memory, from its config alone, so that too much is refused before any work; and
what to lower where it was too much all the same.

The estimates count the largest tensors and leave the rest out: they are below what a run takes, so that nothing is
refused that would have fitted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gsd.errors import GsdError
from gsd.schedule import extremes

GB = 1e9
# Bytes, counted or measured:
PER_PIXEL = 200  # of a training view: colours, depth, latents, noise and their gradients
PER_TURNTABLE_PIXEL = 80  # colour, depth and alpha of every view are kept for the metrics and the films
PER_POINT = 300  # a Gaussian with its gradient and both moments of Adam, and the point that it starts from
PER_DRAWN_POINT = 60  # of init.grow
PER_SEEN_POINT = 40  # of a noising: where a sub-point lies in each view
PER_SUB_PIXEL = 20  # of noising=integral, that of the warped image
LATENT = 8  # pixels to a side of a latent, of priors whose latents are not pixels
PER_BANK_PIXEL = 20  # four bytes, and four floats while they are drawn
PER_ROW = 16  # of a hash grid, per feature, or a texture, per colour: value, gradient and both moments
PER_CELL = 40  # of the occupancy grid
FULL = ("out of memory", "can't allocate memory")  # in what CUDA and PyTorch's allocator for CPUs say
TO_LOWER = (
    "camera.resolution", "camera.views", "camera.groups", "init.points", "densify.cap_max", "prior.resolution",
    "prior.encode_chunk",
)  # fmt: skip
UNLIMITED = 2**60  # cgroups of version 1 write a number near 2^63 for no limit


@dataclass(frozen=True)
class Need:
    """One part of what a run needs."""

    what: str  # the settings and their values
    bytes: float


def check_memory(cfg: DictConfig, parts: dict[str, dict[str, Any]], device: torch.device) -> None:
    """Refuse a run that needs more than the machine has.

    Args:
        cfg: the run's config.
        parts: the checked options of each group, by the group's name or "metric.NAME".
        device: of the run.

    Raises:
        GsdError: with what is needed, what there is, and which settings need the most.
    """
    needs = sorted(_needs(cfg, parts), key=lambda need: -need.bytes)
    total, there = sum(need.bytes for need in needs), memory_of(device)
    if total > there:
        most = "; ".join(f"{need.what}: {need.bytes / GB:.3g} GB" for need in needs[:2] if need.bytes > total / 10)
        raise GsdError(
            f"This run needs {total / GB:.3g} GB of memory or more and there are {there / GB:.3g} GB "
            f"({most}); lower these settings."
        )


def check_turntable(views: int, side: int, device: torch.device) -> None:
    """Refuse a turntable of so many views, `side` pixels wide, that the machine's memory does not hold."""
    need, there = views * side**2 * PER_TURNTABLE_PIXEL, memory_of(device)
    if need > there:
        raise GsdError(
            f"A turntable of {views} x {side}^2 pixels needs {need / GB:.3g} GB of memory and there are "
            f"{there / GB:.3g} GB; give fewer by --views and --resolution."
        )


def too_little(error: Exception, cfg: DictConfig) -> str:
    """Which settings to lower, where the reason of an error is that a memory was full; else ''."""
    text = str(error).lower()
    if not isinstance(error, MemoryError) and not (
        isinstance(error, RuntimeError) and any(map(text.__contains__, FULL))
    ):
        return ""
    on_gpu = "cuda" in text
    values = {key: OmegaConf.select(cfg, key) for key in TO_LOWER}
    lower = [f"{key}={value}" if isinstance(value, int) else key for key, value in values.items() if value is not None]
    half = ", or set prior.dtype=fp16" if on_gpu and OmegaConf.select(cfg, "prior.dtype") in ("fp32", "bf16") else ""
    return f"The memory of {'the GPU' if on_gpu else 'this machine'} is too small; lower {', '.join(lower)}{half}."


def _needs(cfg: DictConfig, parts: dict[str, dict[str, Any]]) -> Iterator[Need]:
    camera, init, scene = parts["camera"], parts["init"], parts["representation"]
    views, pixels = 2, 64
    if {"resolution", "groups", "views"} <= camera.keys():
        pixels = round(extremes(camera["resolution"])[1])
        views = round(extremes(camera["groups"])[1]) * camera["views"]
        seen = "camera.groups x camera.views x camera.resolution^2"
        yield Need(f"{seen} = {views} x {pixels}^2", views * pixels**2 * PER_PIXEL)
    turn, side = cfg.turntable.views, cfg.turntable.resolution
    yield Need(f"turntable.views x turntable.resolution^2 = {turn} x {side}^2", turn * side**2 * PER_TURNTABLE_PIXEL)
    scenes = f"particles x init.points = {cfg.particles} x {init.get('points', 0)}"
    yield Need(scenes, cfg.particles * init.get("points", 0) * PER_POINT)
    if init.get("grow"):
        yield Need(f"init.grow.samples = {init['grow'].samples}", init["grow"].samples * PER_DRAWN_POINT)
    points = init.get("points", 0) * parts["noising"].get("upsample", 1)
    yield Need(
        f"camera.groups x camera.views x init.points x noising.upsample = {views} x {points}",
        views * points * PER_SEEN_POINT * ("upsample" in parts["noising"]),
    )
    if parts["noising"].get("algorithm") == "chang":
        side = (parts["prior"].get("resolution") or pixels) // (1 if "azimuths" in parts["prior"] else LATENT)
        parted = 2 ** parts["noising"]["k"]
        what = f"camera.groups x camera.views x (latents x 2^noising.k)^2 = {views} x ({side} x {parted})^2"
        yield Need(what, views * (side * parted) ** 2 * PER_SUB_PIXEL)
    yield from _banks(parts, pixels)
    if "texture" in scene:
        side = scene["texture"]
        yield Need(f"representation.texture^2 = {side}^2", cfg.particles * 3 * side**2 * PER_ROW)
    if "log2_table" in scene:
        rows = scene["levels"] * min(2 ** scene["log2_table"], _finest(scene))
        what = f"representation.levels x 2^log2_table x features = {scene['levels']} x 2^{scene['log2_table']}"
        yield Need(f"{what} x {scene['features']}", cfg.particles * rows * scene["features"] * PER_ROW)
        cells = scene["occupancy_cells"]
        yield Need(f"representation.occupancy_cells^3 = {cells}^3", cfg.particles * cells**3 * PER_CELL)


def _finest(grid: dict[str, Any]) -> int:
    """Corners of the finest level of a hash grid."""
    return round((grid["base_resolution"] * grid["growth"] ** (grid["levels"] - 1) + 1) ** 3)


def _banks(parts: dict[str, dict[str, Any]], pixels: int) -> Iterator[Need]:
    """The images of the menagerie that the prior and the metrics draw."""
    for where in ("prior", *(name for name in parts if name.startswith("metric."))):
        bank = parts[where]
        if {"variants", "azimuths"} <= bank.keys():
            images = bank["variants"] * bank["azimuths"] * len(bank.get("elevations", "1"))
            side = bank.get("resolution") or pixels
            what = f"images of {where} (variants x elevations x azimuths) x pixels = {images} x {side}^2"
            yield Need(what, images * side**2 * PER_BANK_PIXEL)


def memory_of(device: torch.device) -> int:
    """Bytes that a run may have: of the GPU, else of the machine, less where the container has a limit."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *limits()])


def limits(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """The limits in bytes of the control groups that this process is in, of either version of Linux's."""
    found = []
    for line in proc.read_text().splitlines() if proc.exists() else []:
        _, controllers, path = line.split(":", 2)
        unified = controllers == ""
        if unified or "memory" in controllers.split(","):
            base = root if unified else root / "memory"
            group = base / path.lstrip("/")
            name = "memory.max" if unified else "memory.limit_in_bytes"
            for folder in (group, *group.parents):  # in a container the path may be the host's: the root is looked at
                if folder.is_relative_to(base) and (folder / name).is_file():
                    text = (folder / name).read_text().strip()
                    found += [int(text)] if text.isdigit() and int(text) < UNLIMITED else []
    return found
