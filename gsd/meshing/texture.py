"""Colours of a texture."""

from __future__ import annotations

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
