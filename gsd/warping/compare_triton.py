"""Triton kernel of the consistency loss: the numba kernel of compare_kernel on a GPU, a pixel per element."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _corner(framed, y, x, w, c, C: tl.constexpr, live):
    return tl.load(framed + (y * w + x) * C + c, live, 0.0)


@triton.jit
def _bilinear(framed, top, left, w, c, fx, fy, C: tl.constexpr, live):
    """The value and its derivatives by x and y."""
    v00, v10 = _corner(framed, top, left, w, c, C, live), _corner(framed, top, left + 1, w, c, C, live)
    v01, v11 = _corner(framed, top + 1, left, w, c, C, live), _corner(framed, top + 1, left + 1, w, c, C, live)
    upper, lower = v00 + fx * (v10 - v00), v01 + fx * (v11 - v01)
    return upper + fy * (lower - upper), (1.0 - fy) * (v10 - v00) + fy * (v11 - v01), lower - upper


@triton.jit
def compare(  # noqa: PLR0915
    maps, depth, alpha, pairs, rays, shifts, terms, slopes, near, tolerance, vanishing, sx, sy, M, width, height, w, h,
    C: tl.constexpr, BILINEAR: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """terms[p, pixel] = o (1 - cos) and slopes[p, pixel] = its derivative by the depth of view i there.

    maps [V, h, w, C], channels last in a frame of zeros; depth and alpha [V, height, width]; pairs [2, P]; rays
    [P, 3, 3] and shifts [P, 3] as in compare_kernel; sx, sy: pixels of a map in one of the depth; M = P height width.
    """
    at = tl.program_id(0) * B + tl.arange(0, B)
    live = at < M
    area = width * height
    p, pixel = at // area, at % area
    count = M // area
    i, j = tl.load(pairs + p, live, 0), tl.load(pairs + count + p, live, 0)
    px, py = (pixel % width).to(tl.float32) + 0.5, (pixel // width).to(tl.float32) + 0.5
    d = tl.load(depth + i * area + pixel, live, 0.0)
    good = live & (tl.load(alpha + i * area + pixel, live, 0.0) > 0.5)
    r, t = rays + p * 9, shifts + p * 3
    rx = tl.load(r, live, 0.0) * px + tl.load(r + 1, live, 0.0) * py + tl.load(r + 2, live, 0.0)
    ry = tl.load(r + 3, live, 0.0) * px + tl.load(r + 4, live, 0.0) * py + tl.load(r + 5, live, 0.0)
    rz = tl.load(r + 6, live, 0.0) * px + tl.load(r + 7, live, 0.0) * py + tl.load(r + 8, live, 0.0)
    z = rz * d + tl.load(t + 2, live, 0.0)
    good &= z > near
    z = tl.where(good, z, 1.0)
    x, y = (rx * d + tl.load(t, live, 0.0)) / z, (ry * d + tl.load(t + 1, live, 0.0)) / z
    good &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = tl.where(good, x, 0.0), tl.where(good, y, 0.0)
    there = j * area + y.to(tl.int32) * width + x.to(tl.int32)
    good &= tl.load(alpha + there, good, 0.0) > 0.5
    good &= tl.abs(z - tl.load(depth + there, good, 0.0)) < tolerance
    dx, dy = sx * (rx - x * rz) / z, sy * (ry - y * rz) / z  # of the coordinates by the depth
    mine, theirs = maps + i * (w * h * C), maps + j * (w * h * C)
    right, down = x * sx + 0.5, y * sy + 0.5
    left, top = right.to(tl.int32), down.to(tl.int32)
    fx, fy = right - left.to(tl.float32), down - top.to(tl.float32)
    own_right, own_down = px * sx + 0.5, py * sy + 0.5
    own_left, own_top = own_right.to(tl.int32), own_down.to(tl.int32)
    own_fx, own_fy = own_right - own_left.to(tl.float32), own_down - own_top.to(tl.float32)
    aa, bb, ab = tl.zeros([B], tl.float32), tl.zeros([B], tl.float32), tl.zeros([B], tl.float32)
    slope_a, slope_b = tl.zeros([B], tl.float32), tl.zeros([B], tl.float32)
    for c in tl.static_range(C):
        b, bx, by = _bilinear(theirs, top, left, w, c, fx, fy, C, good)
        if BILINEAR:
            a, _, _ = _bilinear(mine, own_top, own_left, w, c, own_fx, own_fy, C, good)
        else:
            a = _corner(mine, (py * sy).to(tl.int32) + 1, (px * sx).to(tl.int32) + 1, w, c, C, good)
            b = _corner(theirs, (y * sy).to(tl.int32) + 1, (x * sx).to(tl.int32) + 1, w, c, C, good)
        slope = bx * dx + by * dy
        aa += a * a
        bb += b * b
        ab += a * b
        slope_a += slope * a
        slope_b += slope * b
    product = aa * bb
    defined = good & (product > vanishing)
    root = tl.sqrt(tl.where(defined, product, 1.0))
    cosine = tl.where(defined, ab / root, 0.0)
    slope = slope_a / root - cosine * slope_b / tl.where(defined, bb, 1.0)
    tl.store(terms + at, tl.where(good, 1.0 - cosine, 0.0), live)
    tl.store(slopes + at, tl.where(defined, -slope, 0.0), live)
