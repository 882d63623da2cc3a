"""Counter-based normal numbers: a value depends on (key, id, channel) alone.

Nothing has to be stored, drawn in order or checkpointed: all views of a step get the same value for the same id, and a
Gaussian added by densification has a new id and so fresh values. On the CPU a numba kernel makes the numbers, on CUDA a
Triton kernel; elsewhere torch mixes the same integers.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.backend.device import compiled
from gsd.backend.triton import launch, on_triton
from gsd.noising.points.counter_kernels import fill_normal

_GOLDEN = 0x9E3779B97F4A7C15  # splitmix64's increment and multipliers (Steele, Lea and Flood 2014)
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_GOLDEN_32, _LOW = 0x9E3779B9, 0xFFFFFFFF


def normal(key: int, ids: Int[Tensor, " M"], channels: int) -> Float[Tensor, "M C"]:
    """Standard normal values [M, channels] for 64-bit ids under a 63-bit key."""
    if compiled(ids):
        out = np.empty((len(ids), channels), np.float32)
        fill_normal(np.uint64(key), ids.numpy(), out)
        return torch.from_numpy(out)
    if on_triton(ids):
        from gsd.noising.points.paint_triton import fill_normal as fill

        made = torch.empty(len(ids), channels, device=ids.device)
        launch(fill, made.numel(), key, ids.contiguous(), made, len(ids), channels)
        return made
    return normal_torch(key, ids, channels)


def normal_torch(key: int, ids: Int[Tensor, " M"], channels: int) -> Float[Tensor, "M C"]:
    """The same values up to float32 rounding, on any device."""
    x = hashed(key, ids)
    channel = torch.arange(channels, device=ids.device) * _GOLDEN_32
    bits = _mix32(_mix32((x[:, None] + channel) & _LOW) ^ _shift(x, 32)[:, None])
    tail = ((bits >> 1).double() + 0.5) * 2.0**-31  # two-sided tail probability, in (0, 1)
    sign = 1.0 - 2.0 * (bits & 1)
    return (sign * 2**0.5 * torch.erfinv(1.0 - tail)).float()


def hashed(key: int, ids: Int[Tensor, " M"]) -> Int[Tensor, " M"]:
    """64 random bits per id: splitmix64's finaliser."""
    x = (ids + 1) * _signed(_GOLDEN) + _signed(key)
    x = (x ^ _shift(x, 30)) * _signed(_MIX_1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX_2)
    return x ^ _shift(x, 31)


def _mix32(x: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """A 32-bit finaliser (Wellons, "lowbias32") on the lower half of int64."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _LOW
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _LOW
    return x ^ (x >> 16)


def _shift(x: Int[Tensor, "*n"], bits: int) -> Int[Tensor, "*n"]:
    """Logical shift to the right; torch's >> is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(x: int) -> int:
    """The int64 with the lower 64 bits of x."""
    x &= (1 << 64) - 1
    return x - (1 << 64) if x >> 63 else x
