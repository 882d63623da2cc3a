"""Triton kernel of gsd.noising.integral.cover: the numba kernel on a GPU, a triangle per element."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def cover(
    x, y, inverse, ring, depth, owner, M, columns, rows, width, per_pixel, widest, tolerance: tl.float64,
    B: tl.constexpr,
):  # fmt: skip
    """owner[i, j] = the first of the M / 8 pixels that covers sub-pixel (j, i); see warp_kernels.cover.

    Where several triangles cover a sub-pixel the smallest number wins, in whatever order they come.
    """
    at = tl.program_id(0) * B + tl.arange(0, B)
    live = at < M
    p, t = at // 8, at % 8
    centre, a, b = p * 9 + 4, p * 9 + tl.load(ring + t, live, 0), p * 9 + tl.load(ring + (t + 1) % 8, live, 0)
    cx, ax, bx = tl.load(x + centre, live, 0.0), tl.load(x + a, live, 0.0), tl.load(x + b, live, 0.0)
    cy, ay, by = tl.load(y + centre, live, 0.0), tl.load(y + a, live, 0.0), tl.load(y + b, live, 0.0)
    ci, ai, bi = tl.load(inverse + centre, live, 0.0), tl.load(inverse + a, live, 0.0), tl.load(inverse + b, live, 0.0)
    good = live & ((ax - cx) * (by - cy) - (ay - cy) * (bx - cx) > 0)  # nan is not
    cx, cy, ax, ay = tl.where(good, cx, 0.0), tl.where(good, cy, 0.0), tl.where(good, ax, 0.0), tl.where(good, ay, 0.0)
    bx, by = tl.where(good, bx, 0.0), tl.where(good, by, 0.0)
    left, right = tl.minimum(cx, tl.minimum(ax, bx)), tl.maximum(cx, tl.maximum(ax, bx))
    top, bottom = tl.minimum(cy, tl.minimum(ay, by)), tl.maximum(cy, tl.maximum(ay, by))
    good &= (right - left <= widest) & (bottom - top <= widest)
    good &= (right >= 0) & (bottom >= 0) & (left * per_pixel <= columns) & (top * per_pixel <= rows)
    first = tl.maximum(tl.ceil(tl.where(good, left, 0.0) * per_pixel - 0.5), 0.0).to(tl.int32)
    upper = tl.maximum(tl.ceil(tl.where(good, top, 0.0) * per_pixel - 0.5), 0.0).to(tl.int32)
    last = tl.minimum(tl.floor(tl.where(good, right, -1.0) * per_pixel - 0.5), columns - 1.0).to(tl.int32)
    lower = tl.minimum(tl.floor(tl.where(good, bottom, -1.0) * per_pixel - 0.5), rows - 1.0).to(tl.int32)
    across, down = tl.maximum(last - first + 1, 0), tl.maximum(lower - upper + 1, 0)
    for s in range(tl.max(across * down, 0)):
        i, j = upper + s // tl.maximum(across, 1), first + s % tl.maximum(across, 1)
        inside = good & (s < across * down)
        qx, qy = (j + 0.5).to(tl.float64) / per_pixel, (i + 0.5).to(tl.float64) / per_pixel
        ec = (ax - qx) * (by - qy) - (ay - qy) * (bx - qx)
        ea = (bx - qx) * (cy - qy) - (by - qy) * (cx - qx)
        eb = (cx - qx) * (ay - qy) - (cy - qy) * (ax - qx)
        inside &= (ec >= 0) & (ea >= 0) & (eb >= 0)
        far = (ec * ci + ea * ai + eb * bi) / tl.where(inside, ec + ea + eb, 1.0)
        z = tl.where(far == 0, 0.0, 1 / tl.where(far == 0, 1.0, far))
        anchor = tl.load(depth + (i // per_pixel) * width + j // per_pixel, inside, 0.0)
        inside &= (tl.abs(z - anchor) < tolerance) & ((z == 0) == (anchor == 0))
        tl.atomic_min(owner + i * columns + j, p, inside, sem="relaxed")
