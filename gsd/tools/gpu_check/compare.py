"""How far a result of the GPU is from the CPU's."""

from __future__ import annotations

from torch import Tensor

from gsd.tools.gpu_check.result import Figure

EDGE = 0.02  # share of pixels that may differ: a point that lies on an edge of two falls into the other


def differences(there: Tensor, here: Tensor) -> dict[str, Figure]:
    """Of a result of the GPU from the CPU's: the largest, the relative one in L2, and the share beyond a thousandth."""
    here = here.detach().double()
    apart = (there.detach().cpu().double() - here).abs()
    scale = float(here.abs().max()) or 1.0
    return {
        "largest": float(apart.max()) if apart.numel() else 0.0,
        "relative": float(apart.norm() / here.norm().clamp_min(1e-30)),
        "share that differs": float((apart > 1e-3 * scale).double().mean()) if apart.numel() else 0.0,
    }


def agrees(found: dict[str, Figure], most: float = EDGE) -> bool:
    """Whether so few elements differ; not a number differs."""
    share, largest = found["share that differs"], found["largest"]
    return isinstance(share, float) and share <= most and isinstance(largest, float) and largest < float("inf")
