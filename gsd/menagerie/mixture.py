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


class ByteRows:
    """A matrix of M rows of bytes u that stand for u / 255. Columns that never vary are kept once."""

    def __init__(self, rows: UInt8[Tensor, "M D"], device: torch.device | str = "cpu") -> None:
        varies = (rows != rows[:1]).any(0)
        self.varying = varies.nonzero()[:, 0].to(device)
        self.steady = (~varies).nonzero()[:, 0].to(device)
        self.values = (rows[0, ~varies].double() / 255).to(device)  # of the steady columns
        self.bytes = rows[:, varies].contiguous().to(device)

    def __len__(self) -> int:
        return len(self.bytes)

    def dots(self, x: Float[Tensor, "V D"]) -> Float[Tensor, "V M"]:
        """The inner product of each x with each row, in float64."""
        moving = _dots(self.bytes, x[:, self.varying].double()) / 255
        return moving + (x[:, self.steady].double() @ self.values)[:, None]

    def mean(self, weights: Float[Tensor, "V M"], out: Float[Tensor, "V D"]) -> None:
        """out = sum_i weights_i rows_i, in the precision of `out`. Weights need not sum to one."""
        out[:, self.varying] = _mix(self.bytes, weights.to(out.dtype)) / 255
        out[:, self.steady] = (weights.sum(1, keepdim=True) * self.values).to(out.dtype)


class ByteImages:
    """M images over any background, as latents with values in [-1, 1].

    Over a background of colour c an image is x_i(c) = x_i + t_i (c - 1), where x_i = 2 rgb_i - 1 is the image over
    white and t_i = 1 - alpha_i. What depends on the background costs a third on top, and nothing over white.
    """

    def __init__(
        self, rgb: UInt8[Tensor, "M 3 R R"], alpha: UInt8[Tensor, "M 1 R R"], device: torch.device | str = "cpu"
    ) -> None:
        """rgb over white."""
        self.rgb, self.clear = ByteRows(rgb.flatten(1), device), ByteRows(255 - alpha.flatten(1), device)
        moments = [_moments(*part) for part in zip(rgb.split(CHUNK), alpha.split(CHUNK), strict=True)]
        self.half_norms, self.overlap, self.clear_norms = (
            torch.cat(column).to(device) for column in zip(*moments, strict=True)
        )

    def __len__(self) -> int:
        return len(self.rgb)

    def affinities(self, x: Float[Tensor, "V D"], shift: Float[Tensor, "V 3"] | None = None) -> Float[Tensor, "V M"]:
        """x . x_i(c) - |x_i(c)|^2 / 2 = (|x|^2 - |x - x_i(c)|^2) / 2 in float64; `shift` is c - 1, None for white."""
        white = 2 * self.rgb.dots(x) - x.double().sum(1, keepdim=True) - self.half_norms
        if shift is None:
            return white
        shift = shift.double()
        along = torch.einsum("vcp,vc->vp", x.unflatten(1, (3, -1)).double(), shift)
        squared = shift.square().sum(1, keepdim=True) * self.clear_norms / 2
        return white + self.clear.dots(along) - shift @ self.overlap.T - squared

    def add_mean(
        self, weights: Float[Tensor, "V M"], out: Float[Tensor, "V D"], shift: Float[Tensor, "V 3"] | None = None
    ) -> None:
        """out += sum_i weights_i x_i(c), in the precision of `out`. Weights need not sum to one."""
        mean = torch.empty_like(out)
        self.rgb.mean(weights, mean)
        out += 2 * mean - weights.sum(1, keepdim=True).to(out.dtype)
        if shift is not None:
            clear = out.new_empty(len(out), out.shape[1] // 3)
            self.clear.mean(weights, clear)
            out += (shift.to(out.dtype)[:, :, None] * clear[:, None]).flatten(1)


def _moments(
    rgb: UInt8[Tensor, "m 3 R R"], alpha: UInt8[Tensor, "m 1 R R"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m 3"], Float[Tensor, " m"]]:
    """|x_i|^2 / 2, sum_p x_i t_i for each channel, and |t_i|^2, in float64."""
    x, clear = rgb.double() / 127.5 - 1, 1 - alpha.double() / 255
    return x.square().sum((1, 2, 3)) / 2, (x * clear).sum((2, 3)), clear.square().sum((1, 2, 3))


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
