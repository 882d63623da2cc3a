"""Which views of a turntable are compared with which."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from gsd.types import Cameras


def neighbours(cameras: Cameras, apart_deg: float) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """(i, j) of every view of a full turn and the two nearest to `apart_deg` away; none of a single view."""
    order = cameras.azimuth.remainder(360).argsort()
    shift = max(1, round(apart_deg * len(order) / 360))
    i, j = order.repeat(2), torch.cat([order.roll(-shift), order.roll(shift)])
    return i[i != j], j[i != j]
