"""The multiresolution hash encoding of Mueller et al. 2022 (Instant-NGP), with tiny-cuda-nn's layout of levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from gsd.backend.device import compiled
from gsd.backend.threads import default_threads, each
from gsd.backend.triton import launch, on_triton
from gsd.errors import GsdError
from gsd.field import field_kernels as kernels

PRIMES = (1, 2654435761, 805459861)  # eq. 4 of the paper
START = 1e-4  # features start uniform in [-START, START]
PAIR = 2  # features that the kernel handles at a time


@dataclass(frozen=True)
class Level:
    """One grid over the unit cube: a corner for every `1 / scale`, kept in rows `first` to `first` + `size`."""

    scale: float
    resolution: int  # corners along an axis
    first: int
    size: int
    hashed: bool  # more corners than rows; then size is a power of two


def make_levels(count: int, log2_table: int, base_resolution: int, growth: float) -> tuple[Level, ...]:
    """Level l has scale base_resolution growth^l - 1 and at most 2^log2_table rows (a multiple of 8)."""
    levels: list[Level] = []
    first = 0
    for number in range(count):
        scale = base_resolution * growth**number - 1
        resolution = math.ceil(scale) + 1
        if resolution > 2**20:
            raise GsdError(
                f"Level {number} of the hash grid has {resolution} corners a side; lower representation.growth or "
                "representation.levels."
            )
        dense = -(-(resolution**3) // 8) * 8
        size = min(dense, 2**log2_table)
        levels.append(Level(scale, resolution, first, size, dense > size))
        first += size
    return tuple(levels)


class HashGrid(nn.Module):
    """Points of the unit cube to levels x features numbers, interpolated trilinearly in every level.

    `active_levels` of `forward` and `jacobian` is the number of levels in use: level l is multiplied by
    clamp(active_levels - l, 0, 1), so that finer levels may fade in over a run. Gradients reach the table, not the
    points.
    """

    def __init__(self, levels: tuple[Level, ...], features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.levels, self.features, self.width = levels, features, len(levels) * features
        rows = levels[-1].first + levels[-1].size
        self.table = nn.Parameter((2 * torch.rand(rows, features, generator=generator) - 1) * START)

    def forward(
        self, xyz: Float[Tensor, "3 M"], active_levels: float, known: Float[Tensor, "K M"] | None = None
    ) -> Float[Tensor, "K M"]:
        """Features; `known` are those of an earlier call without graph, to which the gradient is attached."""
        encode = _kernels_of(self.table)
        if encode is not None:
            return encode.apply(self.table, xyz, self.levels, weights(self.levels, active_levels), False, known)[0]
        return encode_torch(self.table, xyz, self.levels, weights(self.levels, active_levels))[0]

    def jacobian(
        self, xyz: Float[Tensor, "3 M"], active_levels: float
    ) -> tuple[Float[Tensor, "K M"], Float[Tensor, "3 K M"]]:
        """Features and their derivatives by xyz; both pass gradients to the table."""
        encode = _kernels_of(self.table)
        if encode is not None:
            return encode.apply(self.table, xyz, self.levels, weights(self.levels, active_levels), True, None)
        return encode_torch(self.table, xyz, self.levels, weights(self.levels, active_levels))

    def slope(
        self, xyz: Float[Tensor, "3 M"], active_levels: float, pull: Float[Tensor, "K M"]
    ) -> Float[Tensor, "3 M"]:
        """The derivative of <pull, features> by xyz; passes gradients to the table and to pull."""
        if on_triton(self.table):
            return _SlopeOnCuda.apply(self.table, xyz, self.levels, weights(self.levels, active_levels), pull)
        return (self.jacobian(xyz, active_levels)[1] * pull).sum(1)


def weights(levels: tuple[Level, ...], active_levels: float) -> list[float]:
    return [min(max(active_levels - number, 0.0), 1.0) for number in range(len(levels))]


def encode_torch(
    table: Float[Tensor, "T F"], xyz: Float[Tensor, "3 M"], levels: tuple[Level, ...], weights: list[float]
) -> tuple[Float[Tensor, "K M"], Float[Tensor, "3 K M"]]:
    """The twin of the kernels: features and their derivatives by xyz."""
    features, jacobians = [], []
    corner = torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)], device=xyz.device)  # [8, 3]
    sign = (2 * corner - 1).to(table.dtype)
    for level, weight in zip(levels, weights, strict=True):
        place = xyz * level.scale + 0.5
        lowest = place.floor()
        part = place - lowest
        rows = level.first + row_of(lowest.long()[None] + corner[..., None], level)
        values = table[rows]  # [8, M, F]
        along = torch.where(corner[..., None] == 1, part[None], 1 - part[None])  # [8, 3, M]
        features.append(weight * (along.prod(1)[..., None] * values).sum(0).T)
        slopes = []
        for axis in range(3):
            others = along[:, [a for a in range(3) if a != axis]].prod(1) * sign[:, axis, None]
            slopes.append(weight * level.scale * (others[..., None] * values).sum(0).T)
        jacobians.append(torch.stack(slopes))
    return torch.cat(features), torch.cat(jacobians, 1)


def row_of(corner: Int[Tensor, "8 3 M"], level: Level) -> Int[Tensor, "8 M"]:
    """Row of a grid corner within its level. Beyond the upper border follows the next row, as in tiny-cuda-nn."""
    x, y, z = corner.unbind(1)
    if not level.hashed:
        index = x + level.resolution * (y + level.resolution * z)
        return torch.where(index >= level.size, index - level.size, index)
    return (x ^ (y * PRIMES[1]) ^ (z * PRIMES[2])) & (level.size - 1)


def _kernels_of(table: Tensor) -> Any:
    if compiled(table):
        return _Encode
    return _EncodeOnCuda if on_triton(table) else None


@lru_cache(maxsize=4)  # of the calls of a step
def _on_device(
    levels: tuple[Level, ...], weights: tuple[float, ...], device: torch.device
) -> tuple[Int[Tensor, "L 4"], Float[Tensor, "L 2"]]:
    """sizes and scales, as the Triton kernels take them."""
    sizes = torch.tensor([[x.resolution, x.first, x.size, x.hashed] for x in levels], dtype=torch.int64)
    scales = torch.tensor([[level.scale, weight] for level, weight in zip(levels, weights, strict=True)])
    return sizes.to(device), scales.to(device)


class _EncodeOnCuda(torch.autograd.Function):
    """The Triton kernels: one launch for all levels in use, the coarsest ones."""

    @staticmethod
    def forward(ctx, table, xyz, levels, weights, jacobian, known):
        from gsd.field import hashgrid_triton

        features, count, device = table.shape[1], xyz.shape[1], table.device
        used = sum(weight > 0 for weight in weights)
        arrays = _on_device(levels[:used], tuple(weights[:used]), device)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(xyz, *arrays)
        ctx.kept = (table.shape, used)
        if known is not None:
            return known.view_as(known), None
        part = (used * features, count)
        out = torch.empty(len(levels) * features, count, device=device)
        if used < len(levels):
            out[part[0] :] = 0
        slopes = torch.empty(3, *part, device=device) if jacobian else None
        launch(
            hashgrid_triton.encode, used * count, xyz.contiguous(), table.detach(), *arrays, out,
            out if slopes is None else slopes, count, used, F=features, JACOBIAN=jacobian,
        )  # fmt: skip
        return out, None if slopes is None else pad(slopes, (0, 0, 0, len(out) - part[0]))

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_slopes):
        from gsd.field import hashgrid_triton

        xyz, *arrays = ctx.saved_tensors
        shape, used = ctx.kept
        grad, rows = torch.zeros(shape, device=xyz.device), used * shape[1]
        given = g_out if g_slopes is None else g_slopes
        if given is not None:
            unused = xyz  # a pointer that is not followed
            launch(
                hashgrid_triton.encode_backward, used * xyz.shape[1], xyz.contiguous(), grad, *arrays,
                unused if g_out is None else g_out[:rows].contiguous(),
                unused if g_slopes is None else g_slopes[:, :rows].contiguous(),
                xyz.shape[1], used, F=shape[1], OUT=g_out is not None, JACOBIAN=g_slopes is not None,
            )  # fmt: skip
        return grad, None, None, None, None, None


class _SlopeOnCuda(torch.autograd.Function):
    """The derivative of <pull, features> without the Jacobian, which would take three times the memory of features."""

    @staticmethod
    def forward(ctx, table, xyz, levels, weights, pull):
        from gsd.field import hashgrid_triton

        used, xyz, pull = sum(weight > 0 for weight in weights), xyz.contiguous(), pull.contiguous()
        arrays = _on_device(levels[:used], tuple(weights[:used]), table.device)
        out = torch.empty_like(xyz)
        launch(
            hashgrid_triton.slope, xyz.shape[1], xyz, table.detach(), *arrays, pull.detach(), out, xyz.shape[1], used,
            F=table.shape[1],
        )  # fmt: skip
        ctx.save_for_backward(table, xyz, pull, *arrays)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out):
        from gsd.field import hashgrid_triton

        table, xyz, pull, *arrays = (t.detach() for t in ctx.saved_tensors)
        used, grad, g_pull = len(arrays[0]), torch.zeros_like(table), torch.empty_like(pull)
        if used * table.shape[1] < len(pull):
            g_pull[used * table.shape[1] :] = 0
        launch(
            hashgrid_triton.slope_backward, used * xyz.shape[1], xyz, table, *arrays, pull, g_out.contiguous(), grad,
            g_pull, xyz.shape[1], used, F=table.shape[1],
        )  # fmt: skip
        return grad, None, None, None, g_pull


class _Encode(torch.autograd.Function):
    """The numba kernels, one task for a pair of features of one level."""

    @staticmethod
    def forward(ctx, table, xyz, levels, weights, jacobian, known):
        features, count = table.shape[1], xyz.shape[1]
        tasks = [(i, pair) for i in range(len(levels)) for pair in range(0, features, PAIR) if weights[i] > 0]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(xyz)
        ctx.kept = (table.shape, levels, weights, tasks)
        if known is not None:
            return known.view_as(known), None
        shape = (len(levels) * features, count)
        make = torch.empty if len(tasks) * PAIR == shape[0] else torch.zeros
        out = make(shape)
        slopes = make(3, *shape) if jacobian else None
        rows, points = table.detach().numpy(), xyz.contiguous().numpy()

        def encode(k: int) -> None:
            i, pair = tasks[k]
            level, at = levels[i], i * features + pair
            kernels.encode_level(
                points, rows[level.first : level.first + level.size], pair, kernels.F(level.scale), level.resolution,
                level.hashed, kernels.F(weights[i]), out.numpy()[at : at + PAIR],
                None if slopes is None else slopes.numpy()[:, at : at + PAIR],
            )  # fmt: skip

        each(encode, len(tasks), default_threads(count))
        return out, slopes

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_jacobian):
        (xyz,) = ctx.saved_tensors
        shape, levels, weights, tasks = ctx.kept
        grad, points = torch.zeros(shape), xyz.contiguous().numpy()
        if g_out is None and g_jacobian is None:
            return grad, None, None, None, None, None
        if g_out is None:
            g_out = g_jacobian.new_zeros(g_jacobian.shape[1:])
        incoming = g_out.contiguous().numpy()
        slopes = None if g_jacobian is None else g_jacobian.contiguous().numpy()

        def encode(k: int) -> None:
            i, pair = tasks[k]
            level, at = levels[i], i * shape[1] + pair
            kernels.encode_level_backward(
                points, grad.numpy()[level.first : level.first + level.size], pair, kernels.F(level.scale),
                level.resolution, level.hashed, kernels.F(weights[i]), incoming[at : at + PAIR],
                None if slopes is None else slopes[:, at : at + PAIR],
            )  # fmt: skip

        each(encode, len(tasks), default_threads(xyz.shape[1]))
        return grad, None, None, None, None, None
