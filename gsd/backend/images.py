"""Tensors to 8-bit pixels and PNG bytes."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


def uint8(image: Float[Tensor, "K H W"]) -> UInt8[np.ndarray, "H W K"]:
    """K: 3, or 4 with alpha."""
    return (image.clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).contiguous().cpu().numpy()


def png(image: Float[Tensor, "K H W"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(uint8(image)).save(buffer, "PNG")
    return buffer.getvalue()
