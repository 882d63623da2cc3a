"""Renders as a network was trained to see pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

BILINEAR = 2  # PIL's number, which transformers writes


@dataclass(frozen=True)
class Pictures:
    """A network's size (pixels, height and width), its interpolation, and the colours that it takes for 0 and 1."""

    size: tuple[int, int]
    mode: Literal["bilinear", "bicubic"]
    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V 3 h w"]:
        """Resized without cropping and normalised, as the model's own preprocessing does to square 8-bit images."""
        small = interpolate(rgb.float(), self.size, mode=self.mode, antialias=True, align_corners=False).clamp(0, 1)
        mean, std = (small.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (small - mean) / std


def of_processor(settings: dict[str, Any]) -> Pictures:
    """From a preprocessor_config.json of transformers. The whole picture is seen, where that would crop its edges."""
    size = settings.get("crop_size") or settings["size"]
    if not isinstance(size, dict):
        size = {"height": size, "width": size}
    height, width = (int(size[side] if side in size else size["shortest_edge"]) for side in ("height", "width"))
    mode: Literal["bilinear", "bicubic"] = "bilinear" if settings.get("resample") == BILINEAR else "bicubic"
    mean, std = ([float(value) for value in settings[key]] for key in ("image_mean", "image_std"))
    return Pictures((height, width), mode, mean, std)


@torch.no_grad()
def in_chunks(rgb: Float[Tensor, "V 3 H W"], pictures: Pictures, chunk: int, network: Any) -> Float[Tensor, "V D"]:
    """What the network says of every view, `chunk` of them at a time."""
    return torch.cat([network(pictures(part)) for part in rgb.detach().split(chunk)])
