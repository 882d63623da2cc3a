"""What a step and a scene are shown as: depth and noise made visible, grids."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gsd.backend.images import png
from gsd.types import Render, StepState

MIN_SIDE = 128  # pixels: smaller maps are magnified without smoothing


def step_pictures(state: StepState) -> dict[str, Float[Tensor, "V 3 h w"]]:
    """Pictures of a step: rgb, depth, alpha; noise and gradient (the descent direction, -g) as large as the latents."""
    gradient = state.score.gradient
    return {
        "rgb": state.render.rgb.detach().clamp(0, 1),
        "depth": depth_picture(state.render),
        "alpha": state.render.alpha.detach().expand(-1, 3, -1, -1),
        "noise": _three_channels(0.5 + state.noise / 6),
        "gradient": _three_channels(0.5 - gradient / (6 * gradient.std().clamp_min(1e-12))),
    }


def step_strip(state: StepState) -> bytes:
    """PNG of a step: one row per view, columns rgb | depth | noise | gradient."""
    pictures = step_pictures(state)
    columns = [_magnified(pictures[name]) for name in ("rgb", "depth", "noise", "gradient")]
    height = max(c.shape[-1] for c in columns)
    columns = [F.interpolate(c, (height, height), mode="nearest") for c in columns]
    return png(grid(torch.stack(columns, 1)))


def depth_picture(render: Render) -> Float[Tensor, "V 3 H W"]:
    """Near is bright, far is dark, nothing is white."""
    depth, alpha = render.depth.detach(), render.alpha.detach()
    seen = depth[alpha > 0.5]
    near, far = (seen.min(), seen.max()) if seen.numel() else (depth.min(), depth.max())
    grey = 1 - 0.9 * (depth - near) / (far - near).clamp_min(1e-6)
    return (grey.clamp(0, 1) * alpha + (1 - alpha)).expand(-1, 3, -1, -1)


def grid(tiles: Float[Tensor, "R C 3 H W"]) -> Float[Tensor, "3 RH CW"]:
    """Rows and columns of equal tiles as one image."""
    rows, columns, _, height, width = tiles.shape
    return tiles.permute(2, 0, 3, 1, 4).reshape(3, rows * height, columns * width)


def _three_channels(x: Float[Tensor, "V C h w"]) -> Float[Tensor, "V 3 h w"]:
    """The first three channels; a map with fewer is shown grey."""
    return (x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1)).clamp(0, 1)


def _magnified(x: Float[Tensor, "V 3 h w"]) -> Float[Tensor, "V 3 H W"]:
    factor = max(1, -(-MIN_SIDE // x.shape[-1]))
    return x.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
