"""Gaussians for comparisons, and whether a rasteriser works on a device at all."""

from __future__ import annotations

from typing import Any

import torch

from gsd.errors import GsdError, reason
from gsd.noising.check.reference import cameras, surface
from gsd.rasterizer import rasterize

ELSEWHERE = ("auto", "cpu")  # no backends of a GPU's own
SLOW = ("torch",)  # plain tensors: compared, and not timed at real size


def first_call(backend: str, device: torch.device) -> str:
    """Why a backend does not work on a device; empty if it does."""
    try:
        rasterize(**scene(8, 16, device), backend=backend)
    except GsdError as error:
        return str(error)
    except Exception as error:  # of a compiler, a driver or a library
        return f"{type(error).__name__}: {reason(error)}"
    return ""


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
