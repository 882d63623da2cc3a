"""3D Gaussians as .splat, the layout of antimatter15's web viewer: 32 bytes each, no view-dependent colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gsd.rasterizer.ply import QUAT_TO_FILE, SH_C0, WORLD_TO_FILE, Splats, turned

LAYOUT = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])


def save_splat(path: Path, splats: Splats) -> None:
    path.write_bytes(packed(splats))


def packed(splats: Splats) -> bytes:
    """Axes as in .ply. The largest and most opaque come first: viewers show a file while it loads.

    Colour and opacity are 255 times their value, the rotation (wxyz) is 128 + 128 q.
    """
    s = turned(splats, WORLD_TO_FILE, QUAT_TO_FILE)
    opacity = s.opacity_logits.sigmoid()
    table = np.empty(len(s.means), LAYOUT)
    table["position"] = s.means
    table["scale"] = s.log_scales.exp()
    table["rgba"] = _bytes(255 * torch.cat([0.5 + SH_C0 * s.sh[:, 0], opacity[:, None]], 1))
    table["rotation"] = _bytes(128 + 128 * torch.nn.functional.normalize(s.quats, dim=-1))
    order = (s.log_scales.sum(-1).exp() * opacity).argsort(descending=True)
    return table[order.numpy()].tobytes()


def _bytes(values: torch.Tensor) -> np.ndarray:
    return values.round().clamp(0, 255).to(torch.uint8).numpy()
