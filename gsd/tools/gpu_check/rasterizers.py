"""Every rasteriser that works on the device: its first call, whether it equals the CPU's, and its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsd.backend.device import forget_peak, peak_memory
from gsd.errors import GsdError, reason
from gsd.memory import GB
from gsd.noising.check.reference import cameras, surface
from gsd.rasterizer import BACKENDS, rasterize
from gsd.tools.gpu_check.compare import agrees, differences
from gsd.tools.gpu_check.result import Figure, Row

if TYPE_CHECKING:
    from gsd.tools.gpu_check.bench import Bench

ELSEWHERE = ("auto", "cpu")  # no backends of a GPU's own
SLOW = ("torch",)  # plain tensors: compared, and not timed at real size
SPLATS = ("means", "quats", "scales", "opacities", "colors")
GRADIENTS = 0.02  # relative in L2: pixels on the edge of a Gaussian are few, and their gradients are not small


def build(bench: Bench) -> Iterator[Row]:
    """The first call of each, which compiles what is not compiled yet."""
    for name in (name for name in BACKENDS if name not in ELSEWHERE):
        began = time.monotonic()
        fault = first_call(name, bench.device)
        yield Row(name, {"first call, s": time.monotonic() - began}, None if fault else True, fault)


def first_call(backend: str, device: torch.device) -> str:
    """Why a backend does not work on a device; empty if it does."""
    try:
        rasterize(**scene(8, 16, device), backend=backend)
    except GsdError as error:
        return str(error)
    except Exception as error:  # of a compiler, a driver or a library
        return f"{type(error).__name__}: {reason(error)}"
    return ""


def rows(bench: Bench) -> Iterator[Row]:
    sizes = bench.sizes
    small = scene(sizes.compared_points, sizes.compared_pixels, torch.device("cpu"))
    expected = gradients(small, "cpu")
    tiles = [expected["image"][0, ..., :3].permute(2, 0, 1)]
    for backend in bench.backends:
        found = gradients(scene(sizes.compared_points, sizes.compared_pixels, bench.device), backend)
        tiles.append(found["image"][0, ..., :3].permute(2, 0, 1))
        yield _compared(bench, backend, found, expected)
    bench.results.picture("rasterizers", ", ".join(["CPU", *bench.backends]), tiles)
    for backend in (name for name in bench.backends if name not in SLOW):
        for count in (sizes.points, sizes.many):
            yield _timed(bench, backend, count)


def _compared(bench: Bench, backend: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> Row:
    image = differences(found["image"], expected["image"])
    slopes = {name: differences(found[name], expected[name])["relative"] for name in SPLATS}
    name, worst = max(slopes.items(), key=lambda item: float(item[1] or 0))
    ok = agrees(image) and all(float(value or 0) < GRADIENTS for value in slopes.values())
    return Row(backend, image | {"gradients, relative": worst}, ok, f"least exact: the gradient of {name}")


def _timed(bench: Bench, backend: str, count: int) -> Row:
    """Two views, forward and backward."""
    large = scene(count, bench.sizes.pixels, bench.device)
    forget_peak(bench.device)
    figures: dict[str, Figure] = {
        "ms": bench.milliseconds(lambda: gradients(large, backend)),
        "GB": peak_memory(bench.device) / GB,
    }
    return Row(f"{backend}, {count:,} Gaussians, {bench.sizes.pixels} pixels", figures)


def scene(count: int, pixels: int, device: torch.device) -> dict[str, Any]:
    """Arguments of `rasterize`: discs on the spheres of `gsd.noising.check.reference`, in two views."""
    discs, generator = surface(count), torch.Generator().manual_seed(0)
    views = cameras(0.0, 5.0, size=pixels)
    tensors = {
        "means": discs.points,
        "quats": discs.quats,
        "scales": discs.scales,
        "opacities": 0.1 + 0.8 * torch.rand(count, generator=generator),
        "colors": torch.rand(count, 3, generator=generator),
        "viewmats": views.viewmats,
        "Ks": views.Ks,
    }
    moved = {name: tensor.to(device) for name, tensor in tensors.items() if tensor is not None}
    return moved | {"width": pixels, "height": pixels}


def gradients(given: dict[str, Any], backend: str) -> dict[str, Tensor]:
    """The image with depth, and the gradients of a fixed random function of it and of alpha."""
    leaves = {name: given[name].detach().requires_grad_() for name in SPLATS}
    image, alpha, _ = rasterize(**(given | leaves), backend=backend)
    generator = torch.Generator().manual_seed(1)
    pull = torch.randn(image.shape, generator=generator).to(image.device)
    ((image * pull).sum() + (alpha * pull[..., :1]).sum()).backward()
    return {"image": image.detach()} | {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
