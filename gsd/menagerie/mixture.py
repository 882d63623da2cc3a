"""Inner products with, and weighted means of, a bank of images kept as bytes.

Memory traffic dominates the cost of both, and bytes need a quarter of float32's. They hold the images exactly; products
are accumulated in float64, so no precision is lost at small sigma, where distances nearly cancel.
"""

from __future__ import annotations

from typing import no_type_check

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gsd.backend.device import compiled
from gsd.backend.jit import njit

CHUNK = 128  # images per conversion to float64 by torch, on devices other than the CPU
BLOCK = 1024  # pixels of a weighted mean per pass: they stay in the first-level cache


class ByteImages:
    """M images u / 255 * 2 - 1 with D = 3 R R values each. Values that are equal in all images are kept once."""

    def __init__(self, rgb: UInt8[Tensor, "M 3 R R"], device: torch.device | str = "cpu") -> None:
        flat = rgb.flatten(1)
        varies = (flat != flat[:1]).any(0)
        self.varying = varies.nonzero()[:, 0].to(device)
        self.steady = (~varies).nonzero()[:, 0].to(device)
        self.values = (flat[0, ~varies].double() / 127.5 - 1).to(device)  # of the steady ones
        self.bytes = flat[:, varies].contiguous().to(device)
        squares = torch.stack([(row.double() / 127.5 - 1).square().sum() for row in self.bytes])
        self.half_norms = (squares + self.values.square().sum()) / 2

    def __len__(self) -> int:
        return len(self.bytes)

    def affinities(self, x: Float[Tensor, "V D"]) -> Float[Tensor, "V M"]:
        """x . x_i - |x_i|^2 / 2 = (|x|^2 - |x - x_i|^2) / 2 in float64."""
        moving = x[:, self.varying].double()
        steady = x[:, self.steady].double() @ self.values
        return (_dots(self.bytes, moving) / 127.5 - moving.sum(1, keepdim=True)) + steady[:, None] - self.half_norms

    def add_mean(self, weights: Float[Tensor, "V M"], out: Float[Tensor, "V D"]) -> None:
        """out += sum_i weights_i x_i, in the precision of `out`. Weights need not sum to one."""
        mass = weights.sum(1, keepdim=True)
        moving = _mix(self.bytes, weights.to(out.dtype)) / 127.5 - mass.to(out.dtype)
        out[:, self.varying] += moving
        out[:, self.steady] += (mass * self.values).to(out.dtype)


def _dots(images: UInt8[Tensor, "M P"], x: Float[Tensor, "V P"]) -> Float[Tensor, "V M"]:
    if not compiled(images):
        return _dots_torch(images, x)
    out = x.new_empty(len(x), len(images))
    _dots_kernel(images.numpy(), x.contiguous().numpy(), out.numpy())
    return out


def _mix(images: UInt8[Tensor, "M P"], weights: Float[Tensor, "V M"]) -> Float[Tensor, "V P"]:
    if not compiled(images):
        return _mix_torch(images, weights)
    out = weights.new_zeros(len(weights), images.shape[1])
    _mix_kernel(images.numpy(), weights.contiguous().numpy(), out.numpy())
    return out


def _dots_torch(images: UInt8[Tensor, "M P"], x: Float[Tensor, "V P"]) -> Float[Tensor, "V M"]:
    return torch.cat([x @ rows.to(x.dtype).T for rows in images.split(CHUNK)], 1)


def _mix_torch(images: UInt8[Tensor, "M P"], weights: Float[Tensor, "V M"]) -> Float[Tensor, "V P"]:
    out = weights.new_zeros(len(weights), images.shape[1])
    for part, rows in zip(weights.split(CHUNK, 1), images.split(CHUNK), strict=True):
        out += part @ rows.to(weights.dtype)
    return out


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def _dots_kernel(images, x, out):
    for m in range(images.shape[0]):
        row = images[m]
        for v in range(x.shape[0]):
            values = x[v]
            total = 0.0
            for p in range(row.shape[0]):
                total += values[p] * row[p]
            out[v, m] = total


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def _mix_kernel(images, weights, out):
    """Images of weight zero are skipped; at small sigma nearly all are."""
    pixels = images.shape[1]
    for block in range((pixels + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, min(pixels, (block + 1) * BLOCK)
        for v in range(weights.shape[0]):
            target = out[v, first:last]
            for m in range(images.shape[0]):
                weight = weights[v, m]
                if weight > 0:
                    row = images[m, first:last]
                    for p in range(last - first):
                        target[p] += weight * row[p]
