"""Colours of a texture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def read(texture: Float[Tensor, "C H W"], uv: Float[Tensor, "M 2"]) -> Float[Tensor, "M C"]:
    """Bilinear values at uv in [0, 1], from the upper left corner; differentiable in the texture.

    Beyond the centres of the outermost texels their values go on.
    """
    values = F.grid_sample(
        texture[None], 2 * uv[None, None] - 1, mode="bilinear", padding_mode="border", align_corners=False
    )
    return values[0, :, 0].T


def to_srgb(linear: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Of linear colours, both in [0, 1] (IEC 61966-2-1): renders, clouds and textures are sRGB."""
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def to_linear(srgb: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """The inverse of `to_srgb`."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
