"""Triton kernels of the density: its activation with the blob, and the orientation of its slope.

BLOB is 0 for none, 1 for magic3d and 2 for dreamfusion, see gsd.field.field.RadianceField.
"""

from __future__ import annotations

import triton
import triton.language as tl

LEAST = tl.constexpr(1e-12)  # of squared lengths, as in gsd.field.field


@triton.jit
def _place(points, m, M, live):
    return (
        tl.load(points + m, live, 0.0), tl.load(points + M + m, live, 0.0), tl.load(points + 2 * M + m, live, 0.0)
    )  # fmt: skip


@triton.jit
def _blob(x, y, z, density, radius, BLOB: tl.constexpr):
    """The blob at a point, and what its gradient is per point."""
    squared = x * x + y * y + z * z
    value, slope = squared * 0, squared * 0
    if BLOB == 1:
        distance = tl.sqrt(tl.maximum(squared, LEAST))
        value = density * (1.0 - distance / radius)
        slope = tl.where(squared >= LEAST, -density / (radius * distance), 0.0)
    if BLOB == 2:
        value = density * tl.exp(squared / (-2.0 * radius * radius))
        slope = -value / (radius * radius)
    return value, slope


@triton.jit
def _argument(raw, points, m, M, density, radius, live, BLOB: tl.constexpr):
    x, y, z = _place(points, m, M, live)
    value, _ = _blob(x, y, z, density, radius, BLOB)
    return tl.load(raw + m, live, 0.0) + value


@triton.jit
def activate(raw, points, out, density, radius, M, BLOB: tl.constexpr, SOFTPLUS: tl.constexpr, B: tl.constexpr):
    """out [M] = softplus or exp of raw [M] plus the blob at points [3, M]."""
    m = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = m < M
    at = _argument(raw, points, m, M, density, radius, live, BLOB)
    if SOFTPLUS:
        small = tl.exp(-tl.abs(at))
        more = 1.0 + small  # whose rounding is taken back, so that tiny densities are exact
        held = tl.where(more == 1.0, small, tl.log(more) * (small / tl.where(more == 1.0, 1.0, more - 1.0)))
        tl.store(out + m, tl.maximum(at, 0.0) + held, live)
    else:
        tl.store(out + m, tl.exp(at), live)


@triton.jit
def activate_backward(
    raw, points, g_out, grad, density, radius, steepest, M,
    BLOB: tl.constexpr, SOFTPLUS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """grad [M] = what `activate` passes back to raw; the derivative of exp is cut off at `steepest`."""
    m = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = m < M
    at = _argument(raw, points, m, M, density, radius, live, BLOB)
    slope = 1.0 / (1.0 + tl.exp(-at)) if SOFTPLUS else tl.exp(tl.minimum(at, steepest))
    tl.store(grad + m, tl.load(g_out + m, live, 0.0) * slope, live)


@triton.jit
def _towards(along, points, directions, ray, m, M, scale, density, radius, live, BLOB: tl.constexpr):
    """max(normal . direction, 0), how far it turns the normal, the slope's length, the normal, the ray's direction."""
    x, y, z = _place(points, m, M, live)
    _, blob = _blob(x, y, z, density, radius, BLOB)
    sx, sy, sz = _place(along, m, M, live)
    sx, sy, sz = sx * scale + blob * x, sy * scale + blob * y, sz * scale + blob * z
    squared = sx * sx + sy * sy + sz * sz
    length = tl.sqrt(tl.maximum(squared, LEAST))
    nx, ny, nz = -sx / length, -sy / length, -sz / length
    row = directions + ray * 3
    dx, dy, dz = tl.load(row, live, 0.0), tl.load(row + 1, live, 0.0), tl.load(row + 2, live, 0.0)
    facing = nx * dx + ny * dy + nz * dz
    turned = tl.where(squared >= LEAST, facing, 0.0)  # a length that is cut does not change
    return tl.maximum(facing, 0.0), turned, length, nx, ny, nz, dx, dy, dz


@triton.jit
def orient(
    along, points, weight, directions, offsets, out, scale, density, radius, R, M, BLOB: tl.constexpr, B: tl.constexpr
):  # fmt: skip
    """out [R] = the sum over a ray's samples of weight max(normal . direction, 0)^2.

    The normal is against scale times along [3, M] plus the slope of the blob at points [3, M].
    """
    r = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = r < R
    start, end = tl.load(offsets + r, live, 0), tl.load(offsets + r + 1, live, 0)
    total = tl.zeros([B], tl.float32)
    for i in range(tl.max(end - start, 0)):
        m, here = start + i, live & (start + i < end)
        towards, _, _, _, _, _, _, _, _ = _towards(
            along, points, directions, r, m, M, scale, density, radius, here, BLOB
        )  # fmt: skip
        total += tl.load(weight + m, here, 0.0) * towards * towards
    tl.store(out + r, total, live)


@triton.jit
def orient_backward(
    along, points, weight, directions, ray, g_out, grad, scale, density, radius, M,
    BLOB: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """grad [3, M] = what `orient` passes back to along, from g_out [R]."""
    m = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = m < M
    r = tl.load(ray + m, live, 0)
    towards, turned, length, nx, ny, nz, dx, dy, dz = _towards(
        along, points, directions, r, m, M, scale, density, radius, live, BLOB
    )
    pull = tl.load(g_out + r, live, 0.0) * tl.load(weight + m, live, 0.0) * 2.0 * towards
    pull = pull * (-scale / length)
    tl.store(grad + m, pull * (dx - turned * nx), live)
    tl.store(grad + M + m, pull * (dy - turned * ny), live)
    tl.store(grad + 2 * M + m, pull * (dz - turned * nz), live)
