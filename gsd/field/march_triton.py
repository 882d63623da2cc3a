"""Triton kernels of rays and of the samples along them, see gsd.field.march."""

from __future__ import annotations

import triton
import triton.language as tl

from gsd.rasterizer.project_triton import store_three


@triton.jit
def _three(x, i, live):
    """Row i of x [*, 3]."""
    return tl.load(x + i * 3, live, 0.0), tl.load(x + i * 3 + 1, live, 0.0), tl.load(x + i * 3 + 2, live, 0.0)


@triton.jit
def _cross(a0, a1, a2, b0, b1, b2):
    return a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0


@triton.jit
def cast(
    viewmats, Ks, origins, directions, cosine, near, far, radius, least, R, width, pixels, B: tl.constexpr
):  # fmt: skip
    """As march.rays_of: origins and directions [R, 3]; cosine, near and far [R]. viewmats [V, 4, 4], Ks [V, 3, 3].

    The inverse of K, times its determinant, has the cross products of K's rows as columns.
    """
    r = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = r < R
    view, pixel = r // pixels, r % pixels
    u, v = (pixel % width).to(tl.float32) + 0.5, (pixel // width).to(tl.float32) + 0.5
    a0, a1, a2 = _three(Ks, view * 3, live)
    b0, b1, b2 = _three(Ks, view * 3 + 1, live)
    c0, c1, c2 = _three(Ks, view * 3 + 2, live)
    bc0, bc1, bc2 = _cross(b0, b1, b2, c0, c1, c2)
    ca0, ca1, ca2 = _cross(c0, c1, c2, a0, a1, a2)
    ab0, ab1, ab2 = _cross(a0, a1, a2, b0, b1, b2)
    det = tl.where(live, a0 * bc0 + a1 * bc1 + a2 * bc2, 1.0)
    x, y, z = (u * bc0 + v * ca0 + ab0) / det, (u * bc1 + v * ca1 + ab1) / det, (u * bc2 + v * ca2 + ab2) / det
    length = tl.maximum(tl.sqrt(x * x + y * y + z * z), 1e-12)
    x, y, z = x / length, y / length, z / length
    row = viewmats + view * 16
    r00, r01, r02 = tl.load(row, live, 0.0), tl.load(row + 1, live, 0.0), tl.load(row + 2, live, 0.0)
    r10, r11, r12 = tl.load(row + 4, live, 0.0), tl.load(row + 5, live, 0.0), tl.load(row + 6, live, 0.0)
    r20, r21, r22 = tl.load(row + 8, live, 0.0), tl.load(row + 9, live, 0.0), tl.load(row + 10, live, 0.0)
    t0, t1, t2 = tl.load(row + 3, live, 0.0), tl.load(row + 7, live, 0.0), tl.load(row + 11, live, 0.0)
    dx, dy, dz = x * r00 + y * r10 + z * r20, x * r01 + y * r11 + z * r21, x * r02 + y * r12 + z * r22
    ox, oy = -(r00 * t0 + r10 * t1 + r20 * t2), -(r01 * t0 + r11 * t1 + r21 * t2)
    oz = -(r02 * t0 + r12 * t1 + r22 * t2)
    middle = -(ox * dx + oy * dy + oz * dz)
    px, py, pz = ox + middle * dx, oy + middle * dy, oz + middle * dz
    half = radius * radius - (px * px + py * py + pz * pz)
    reach = tl.sqrt(tl.maximum(half, 0.0))
    first = tl.maximum(middle - reach, least)
    store_three(origins, r, ox, oy, oz, live)
    store_three(directions, r, dx, dy, dz, live)
    tl.store(cosine + r, z, live)
    tl.store(near + r, first, live)
    tl.store(far + r, tl.where(half > 0, middle + reach, first), live)


@triton.jit
def march(
    origins, directions, near, far, shift, occupied, counts, offsets, times, ray, step, scale, half, R, cells,
    WRITE: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """As field_kernels.march: how many samples each ray has, in counts[1:] after a 0, or with WRITE the samples.

    Those are times and ray [M], those of ray r from offsets[r] on.
    """
    r = tl.program_id(0) * B + tl.arange(0, B)
    live = r < R
    ox, oy, oz = _three(origins, r, live)
    dx, dy, dz = _three(directions, r, live)
    ox, oy, oz = ox * scale + half, oy * scale + half, oz * scale + half
    dx, dy, dz = dx * scale, dy * scale, dz * scale
    start, end = tl.load(near + r, live, 0.0), tl.load(far + r, live, 0.0)
    part = tl.load(shift + r, live, 0.0)
    found = tl.zeros([B], tl.int64)
    if WRITE:
        found += tl.load(offsets + r, live, 0)
    for k in range(tl.max(tl.where(live, (end - start) / step, 0.0), 0).to(tl.int32) + 2):
        t = start + (k + part) * step
        inside = live & (t < end)
        x = tl.minimum(tl.maximum((ox + t * dx).to(tl.int32), 0), cells - 1)
        y = tl.minimum(tl.maximum((oy + t * dy).to(tl.int32), 0), cells - 1)
        z = tl.minimum(tl.maximum((oz + t * dz).to(tl.int32), 0), cells - 1)
        inside &= tl.load(occupied + (x * cells + y) * cells + z, inside, 0) != 0
        if WRITE:
            tl.store(times + found, t, inside)
            tl.store(ray + found, r.to(tl.int64), inside)
        found += inside.to(tl.int64)
    if not WRITE:
        tl.store(counts + r, tl.zeros([B], tl.int64), r == 0)
        tl.store(counts + 1 + r, found, live)


@triton.jit
def place(origins, directions, ray, times, points, M, B: tl.constexpr):
    """points [3, M] of the samples."""
    m = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = m < M
    r, t = tl.load(ray + m, live, 0), tl.load(times + m, live, 0.0)
    ox, oy, oz = _three(origins, r, live)
    dx, dy, dz = _three(directions, r, live)
    tl.store(points + m, ox + t * dx, live)
    tl.store(points + M + m, oy + t * dy, live)
    tl.store(points + 2 * M + m, oz + t * dz, live)


@triton.jit
def count_lit(remaining, offsets, counts, least, R, B: tl.constexpr):
    """How many samples of each ray more than `least` of the light reaches, in counts[1:] after a 0."""
    r = tl.program_id(0) * B + tl.arange(0, B)
    live = r < R
    start, end = tl.load(offsets + r, live, 0), tl.load(offsets + r + 1, live, 0)
    found = tl.zeros([B], tl.int64)
    for i in range(tl.max(end - start, 0)):
        here = live & (start + i < end)
        found += (tl.load(remaining + start + i, here, 0.0) > least).to(tl.int64)
    tl.store(counts + r, tl.zeros([B], tl.int64), r == 0)
    tl.store(counts + 1 + r, found, live)


@triton.jit
def keep_lit(times, offsets, kept, chosen, kept_times, ray, R, B: tl.constexpr):
    """The first kept[r + 1] - kept[r] samples of each ray: their numbers, times and rays."""
    r = tl.program_id(0) * B + tl.arange(0, B)
    live = r < R
    start, first, end = tl.load(offsets + r, live, 0), tl.load(kept + r, live, 0), tl.load(kept + r + 1, live, 0)
    for i in range(tl.max(end - first, 0)):
        here = live & (first + i < end)
        tl.store(chosen + first + i, start + i, here)
        tl.store(kept_times + first + i, tl.load(times + start + i, here, 0.0), here)
        tl.store(ray + first + i, r.to(tl.int64), here)
