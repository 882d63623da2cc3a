"""Triton kernels of the hash grid: those of gsd.field.field_kernels on a GPU."""

from __future__ import annotations

import triton
import triton.language as tl

PRIME_Y, PRIME_Z = tl.constexpr(2654435761), tl.constexpr(805459861)


@triton.jit
def _row(x, y, z, resolution, size, hashed):
    """Of a grid corner within its level, see hashgrid.row_of."""
    index = x + resolution * (y + resolution * z)
    index = tl.where(index >= size, index - size, index)
    return tl.where(hashed, (x ^ (y * PRIME_Y) ^ (z * PRIME_Z)) & (size - 1), index)


@triton.jit
def _level(sizes, scales, level, live):
    """Of every element's level: sizes [L, 4] are resolution, first row, rows, hashed; scales [L, 2] scale, weight."""
    scale, weight = tl.load(scales + level * 2, live, 0.0), tl.load(scales + level * 2 + 1, live, 0.0)
    resolution, first = tl.load(sizes + level * 4, live, 0).to(tl.uint32), tl.load(sizes + level * 4 + 1, live, 0)
    size, hashed = tl.load(sizes + level * 4 + 2, live, 1).to(tl.uint32), tl.load(sizes + level * 4 + 3, live, 0) != 0
    return scale, weight, resolution, first, size, hashed


@triton.jit
def _cell(xyz, m, M, scale, live):
    """The lowest corner of a point's cell, and the point's place in it."""
    x = tl.load(xyz + m, live, 0.0) * scale + 0.5
    y = tl.load(xyz + M + m, live, 0.0) * scale + 0.5
    z = tl.load(xyz + 2 * M + m, live, 0.0) * scale + 0.5
    i, j, k = x.to(tl.uint32), y.to(tl.uint32), z.to(tl.uint32)
    return i, j, k, x - i.to(tl.float32), y - j.to(tl.float32), z - k.to(tl.float32)


@triton.jit
def _corner(
    i, j, k, u, v, w, first, resolution, size, hashed, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """The row of a corner of the cell, and its weights along the axes."""
    row = first + _row(i + A, j + B, k + C, resolution, size, hashed).to(tl.int64)
    return row, u if A else 1.0 - u, v if B else 1.0 - v, w if C else 1.0 - w


@triton.jit
def encode(xyz, table, sizes, scales, out, slopes, M, L, F: tl.constexpr, JACOBIAN: tl.constexpr, B: tl.constexpr):
    """Features out [L F, M] of points xyz [3, M], and their derivatives slopes [3, L F, M], of the first L levels.

    table [T, F]; sizes and scales as in `_level`.
    """
    at = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = at < M * L
    level, m = at // M, at % M
    scale, weight, resolution, first, size, hashed = _level(sizes, scales, level, live)
    i, j, k, u, v, w = _cell(xyz, m, M, scale, live)
    for f in tl.static_range(F):
        total, along_x, along_y, along_z = u * 0, u * 0, u * 0, u * 0
        for corner in tl.static_range(8):
            row, pu, pv, pw = _corner(
                i, j, k, u, v, w, first, resolution, size, hashed, corner % 2, corner // 2 % 2, corner // 4
            )
            value = tl.load(table + row * F + f, live, 0.0)
            total += value * pu * pv * pw
            if JACOBIAN:
                along_x += value * pv * pw * (2 * (corner % 2) - 1)
                along_y += value * pu * pw * (2 * (corner // 2 % 2) - 1)
                along_z += value * pu * pv * (2 * (corner // 4) - 1)
        place = (level * F + f) * M + m
        tl.store(out + place, weight * total, live)
        if JACOBIAN:
            stride = M * L * F
            tl.store(slopes + place, weight * scale * along_x, live)
            tl.store(slopes + stride + place, weight * scale * along_y, live)
            tl.store(slopes + 2 * stride + place, weight * scale * along_z, live)


@triton.jit
def encode_backward(
    xyz, grad, sizes, scales, g_out, g_slopes, M, L, F: tl.constexpr, OUT: tl.constexpr, JACOBIAN: tl.constexpr,
    B: tl.constexpr,
):  # fmt: skip
    """Adds to grad [T, F] what `encode` passes back to the table."""
    at = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = at < M * L
    level, m = at // M, at % M
    scale, weight, resolution, first, size, hashed = _level(sizes, scales, level, live)
    i, j, k, u, v, w = _cell(xyz, m, M, scale, live)
    for f in tl.static_range(F):
        place = (level * F + f) * M + m
        g, gx, gy, gz = u * 0, u * 0, u * 0, u * 0
        if OUT:
            g = weight * tl.load(g_out + place, live, 0.0)
        if JACOBIAN:
            stride = M * L * F
            gx = weight * scale * tl.load(g_slopes + place, live, 0.0)
            gy = weight * scale * tl.load(g_slopes + stride + place, live, 0.0)
            gz = weight * scale * tl.load(g_slopes + 2 * stride + place, live, 0.0)
        for corner in tl.static_range(8):
            row, pu, pv, pw = _corner(
                i, j, k, u, v, w, first, resolution, size, hashed, corner % 2, corner // 2 % 2, corner // 4
            )
            value = g * pu * pv * pw + gx * pv * pw * (2 * (corner % 2) - 1)
            value += gy * pu * pw * (2 * (corner // 2 % 2) - 1) + gz * pu * pv * (2 * (corner // 4) - 1)
            tl.atomic_add(grad + row * F + f, value, live, sem="relaxed")


@triton.jit
def slope(xyz, table, sizes, scales, pull, out, M, L, F: tl.constexpr, B: tl.constexpr):
    """out [3, M] = the derivative of the sum of pull [L F, M] times the features of `encode`, of the first L levels."""
    m = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = m < M
    sum_x, sum_y, sum_z = tl.zeros([B], tl.float32), tl.zeros([B], tl.float32), tl.zeros([B], tl.float32)
    for number in range(L):
        level = m * 0 + number
        scale, weight, resolution, first, size, hashed = _level(sizes, scales, level, live)
        i, j, k, u, v, w = _cell(xyz, m, M, scale, live)
        along_x, along_y, along_z = u * 0, u * 0, u * 0
        for corner in tl.static_range(8):
            row, pu, pv, pw = _corner(
                i, j, k, u, v, w, first, resolution, size, hashed, corner % 2, corner // 2 % 2, corner // 4
            )
            value = u * 0
            for f in tl.static_range(F):
                factor = tl.load(pull + (level * F + f) * M + m, live, 0.0)
                value += factor * tl.load(table + row * F + f, live, 0.0)
            along_x += value * pv * pw * (2 * (corner % 2) - 1)
            along_y += value * pu * pw * (2 * (corner // 2 % 2) - 1)
            along_z += value * pu * pv * (2 * (corner // 4) - 1)
        sum_x += weight * scale * along_x
        sum_y += weight * scale * along_y
        sum_z += weight * scale * along_z
    tl.store(out + m, sum_x, live)
    tl.store(out + M + m, sum_y, live)
    tl.store(out + 2 * M + m, sum_z, live)


@triton.jit
def slope_backward(xyz, table, sizes, scales, pull, g_out, grad, g_pull, M, L, F: tl.constexpr, B: tl.constexpr):
    """Adds to grad [T, F] what `slope` passes back to the table; g_pull [L F, M] = what it passes back to pull."""
    at = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = at < M * L
    level, m = at // M, at % M
    scale, weight, resolution, first, size, hashed = _level(sizes, scales, level, live)
    i, j, k, u, v, w = _cell(xyz, m, M, scale, live)
    gx = weight * scale * tl.load(g_out + m, live, 0.0)
    gy = weight * scale * tl.load(g_out + M + m, live, 0.0)
    gz = weight * scale * tl.load(g_out + 2 * M + m, live, 0.0)
    for f in tl.static_range(F):
        place = (level * F + f) * M + m
        factor, total = tl.load(pull + place, live, 0.0), u * 0
        for corner in tl.static_range(8):
            row, pu, pv, pw = _corner(
                i, j, k, u, v, w, first, resolution, size, hashed, corner % 2, corner // 2 % 2, corner // 4
            )
            along = gx * pv * pw * (2 * (corner % 2) - 1) + gy * pu * pw * (2 * (corner // 2 % 2) - 1)
            along += gz * pu * pv * (2 * (corner // 4) - 1)
            total += along * tl.load(table + row * F + f, live, 0.0)
            tl.atomic_add(grad + row * F + f, factor * along, live, sem="relaxed")
        tl.store(g_pull + place, total, live)
