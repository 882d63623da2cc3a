"""Triton kernels of volume rendering along rays, see gsd.field.composite."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def weights(thickness, offsets, out, remaining, R, B: tl.constexpr):
    """As field_kernels.weights."""
    r = tl.program_id(0) * B + tl.arange(0, B)
    live = r < R
    start, end = tl.load(offsets + r, live, 0), tl.load(offsets + r + 1, live, 0)
    passed = tl.full([B], 1.0, tl.float32)
    for i in range(tl.max(end - start, 0)):
        here = live & (start + i < end)
        kept = tl.exp(-tl.load(thickness + start + i, here, 0.0))
        tl.store(out + start + i, passed * (1.0 - kept), here)
        tl.store(remaining + start + i, passed, here)
        passed *= kept


@triton.jit
def weights_backward(out, remaining, offsets, g_out, grad, R, B: tl.constexpr):
    """As field_kernels.weights_backward."""
    r = tl.program_id(0) * B + tl.arange(0, B)
    live = r < R
    start, end = tl.load(offsets + r, live, 0), tl.load(offsets + r + 1, live, 0)
    behind = tl.zeros([B], tl.float32)
    for i in range(tl.max(end - start, 0)):
        at = end - 1 - i
        here = live & (at >= start)
        g, w = tl.load(g_out + at, here, 0.0), tl.load(out + at, here, 0.0)
        tl.store(grad + at, g * (tl.load(remaining + at, here, 0.0) - w) - behind, here)
        behind += g * w


@triton.jit
def composite(weight, color, times, offsets, cosine, out, sums, least, R, M, B: tl.constexpr):
    """As composite.composite_torch: out [5, R] of color [3, M]; sums [R] are alpha before it is cut at 1."""
    r = tl.program_id(0) * B + tl.arange(0, B)
    live = r < R
    start, end = tl.load(offsets + r, live, 0), tl.load(offsets + r + 1, live, 0)
    slant = tl.load(cosine + r, live, 0.0)
    red, green, blue = tl.zeros([B], tl.float32), tl.zeros([B], tl.float32), tl.zeros([B], tl.float32)
    reach, alpha = tl.zeros([B], tl.float32), tl.zeros([B], tl.float32)
    for i in range(tl.max(end - start, 0)):
        m, here = start + i, live & (start + i < end)
        w = tl.load(weight + m, here, 0.0)
        red += w * tl.load(color + m, here, 0.0)
        green += w * tl.load(color + M + m, here, 0.0)
        blue += w * tl.load(color + 2 * M + m, here, 0.0)
        reach += w * (tl.load(times + m, here, 0.0) * slant)
        alpha += w
    tl.store(out + r, red, live)
    tl.store(out + R + r, green, live)
    tl.store(out + 2 * R + r, blue, live)
    tl.store(out + 3 * R + r, tl.where(alpha > least, reach / tl.maximum(alpha, least), 0.0), live)
    tl.store(out + 4 * R + r, tl.minimum(alpha, 1.0), live)
    tl.store(sums + r, alpha, live)


@triton.jit
def composite_backward(
    weight, color, times, ray, cosine, out, sums, g_out, g_weight, g_color, least, R, M, B: tl.constexpr
):  # fmt: skip
    """g_weight [M] and g_color [3, M] from g_out [5, R]."""
    m = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = m < M
    r, w = tl.load(ray + m, live, 0), tl.load(weight + m, live, 0.0)
    alpha, depth = tl.load(sums + r, live, 1.0), tl.load(out + 3 * R + r, live, 0.0)
    far = tl.load(times + m, live, 0.0) * tl.load(cosine + r, live, 0.0) - depth
    total = tl.where(alpha > least, tl.load(g_out + 3 * R + r, live, 0.0) / tl.maximum(alpha, least), 0.0) * far
    total += tl.where(alpha <= 1.0, tl.load(g_out + 4 * R + r, live, 0.0), 0.0)
    for c in tl.static_range(3):
        g = tl.load(g_out + c * R + r, live, 0.0)
        total += g * tl.load(color + c * M + m, live, 0.0)
        tl.store(g_color + c * M + m, g * w, live)
    tl.store(g_weight + m, total, live)
