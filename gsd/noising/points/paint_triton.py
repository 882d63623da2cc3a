"""Triton kernels of gsd.noising.points.canvas, counter and whiten: the numba kernels on a GPU.

Sums are kept in fixed point, so that they are the same bits in whatever order the atomic additions happen.
"""

from __future__ import annotations

import triton
import triton.language as tl

SCALE = tl.constexpr(2.0**36)  # of the sums: 2^27 values of size 1 fit, and the last bit is 1.5e-11


@triton.jit
def mix64(key, i):
    """As counter_kernels.mix64."""
    x = (i + 1).to(tl.uint64) * 0x9E3779B97F4A7C15 + key
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return x ^ (x >> 31)


@triton.jit
def _mix32(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def normal(h, channel):
    """As counter_kernels.fill_normal, from the 64 bits h of an id."""
    low, high = h.to(tl.uint32), (h >> 32).to(tl.uint32)
    bits = _mix32(_mix32(low + channel.to(tl.uint32) * 0x9E3779B9) ^ high)
    tail = ((bits >> 1).to(tl.float32) + 0.5) * 4.656612873077393e-10
    sign = 1.41421356 - 2.82842712 * (bits & 1).to(tl.float32)
    w = -tl.log(tail * (2.0 - tail))
    c = w - 2.5
    near = 2.81022636e-08
    near = near * c + 3.43273939e-07
    near = near * c - 3.5233877e-06
    near = near * c - 4.39150654e-06
    near = near * c + 0.00021858087
    near = near * c - 0.00125372503
    near = near * c - 0.00417768164
    near = near * c + 0.246640727
    near = near * c + 1.50140941
    t = tl.sqrt(w) - 3.0
    far = -0.000200214257
    far = far * t + 0.000100950558
    far = far * t + 0.00134934322
    far = far * t - 0.00367342844
    far = far * t + 0.00573950773
    far = far * t - 0.0076224613
    far = far * t + 0.00943887047
    far = far * t + 1.00167406
    far = far * t + 2.83297682
    return sign * (1.0 - tail) * tl.where(w < 5.0, near, far)


@triton.jit(do_not_specialize=["key"])
def fill_normal(key: tl.uint64, ids, out, M, C, B: tl.constexpr):
    """out[m, c] = the normal value of (key, ids[m], c)."""
    at = tl.program_id(0) * B + tl.arange(0, B)
    live = at < M * C
    m, c = at // C, at % C
    tl.store(out + at, normal(mix64(key, tl.load(ids + m, live, 0)), c), live)


@triton.jit
def _bell(bits):
    total = (bits & 127) + ((bits >> 7) & 127) + ((bits >> 14) & 127)
    return (total.to(tl.float32) - 190.5) * 0.015625476


@triton.jit
def _coordinate(points, frames, k, live, ux, uy, uz, axis: tl.constexpr):
    row = frames + k * 9 + 3 * axis
    offset = tl.load(row, live, 0.0)[:, None] * ux + tl.load(row + 1, live, 0.0)[:, None] * uy
    offset += tl.load(row + 2, live, 0.0)[:, None] * uz
    return tl.load(points + k * 3 + axis, live, 0.0)[:, None] + offset


@triton.jit
def _seen(accepts, depth, x, y, z, some, width, height, tolerance, DEPTH: tl.constexpr):
    """The flat pixel at integer coordinates, and whether the sub-point is visible in it."""
    good = some & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixel = tl.where(good, y * width + x, 0)
    good &= tl.load(accepts + pixel, good, 0) != 0
    if DEPTH:
        good &= tl.abs(z - tl.load(depth + pixel, good, 0.0)) < tolerance
    return pixel, good


@triton.jit
def _add(into, value, good):
    tl.atomic_add(into, (value * SCALE).to(tl.int64), good, sem="relaxed")


@triton.jit(do_not_specialize=["place_key", "parent_key", "child_key"])
def paint(  # noqa: PLR0915
    points, frames, ids, stored, viewmats, Ks, accepts, depth, total, gram,
    place_key: tl.uint64, parent_key: tl.uint64, child_key: tl.uint64, own, fresh, near, tolerance, K, width, height,
    N: tl.constexpr, NP: tl.constexpr, V: tl.constexpr, C: tl.constexpr, B: tl.constexpr,
    DEPTH: tl.constexpr, STORED: tl.constexpr, RAMP: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    """As paint_kernels.paint, for B points of N sub-points per program; NP is the power of 2 from N on."""
    k = tl.program_id(0) * B + tl.arange(0, B)
    live = k < K
    s = tl.arange(0, NP)
    some = live[:, None] & (s < N)[None, :]
    parent = tl.load(ids + k, live, 0)
    child = parent[:, None] * N + s[None, :]
    bits = mix64(place_key, child)
    ux, uy, uz = _bell(bits), _bell(bits >> 21), _bell(bits >> 42)
    x = _coordinate(points, frames, k, live, ux, uy, uz, 0)
    y = _coordinate(points, frames, k, live, ux, uy, uz, 1)
    z = _coordinate(points, frames, k, live, ux, uy, uz, 2)
    parent_bits, child_bits = mix64(parent_key, parent), mix64(child_key, child)
    area = width * height
    for v in tl.static_range(V):
        E, F = viewmats + v * 16, Ks + v * 9
        cz = tl.load(E + 8) * x + tl.load(E + 9) * y + tl.load(E + 10) * z + tl.load(E + 11)
        inverse = 1.0 / cz
        u = tl.load(F) * (tl.load(E) * x + tl.load(E + 1) * y + tl.load(E + 2) * z + tl.load(E + 3))
        w = tl.load(F + 4) * (tl.load(E + 4) * x + tl.load(E + 5) * y + tl.load(E + 6) * z + tl.load(E + 7))
        u, w = u * inverse + tl.load(F + 2), w * inverse + tl.load(F + 5)
        front = some & (cz > near) & (u > -1) & (w > -1) & (u < width + 1) & (w < height + 1)
        u, w = tl.where(front, u, 0.0), tl.where(front, w, 0.0)
        surface, allowed = depth + v * area, accepts + v * area
        sums, products = total + v * area * C, gram + v * area * PRODUCTS
        column, row = tl.floor(u).to(tl.int32), tl.floor(w).to(tl.int32)
        p, g = _seen(allowed, surface, column, row, cz, front, width, height, tolerance, DEPTH)
        if RAMP > 0:
            left, top = tl.floor(u - 0.5), tl.floor(w - 0.5)
            fx = tl.minimum(tl.maximum((u - left - 1.0) / RAMP + 0.5, 0.0), 1.0)
            fy = tl.minimum(tl.maximum((w - top - 1.0) / RAMP + 0.5, 0.0), 1.0)
            i, j = left.to(tl.int32), top.to(tl.int32)
            p0, g0 = _seen(allowed, surface, i, j, cz, g, width, height, tolerance, DEPTH)
            p1, g1 = _seen(allowed, surface, i + 1, j, cz, g, width, height, tolerance, DEPTH)
            p2, g2 = _seen(allowed, surface, i, j + 1, cz, g, width, height, tolerance, DEPTH)
            p3, g3 = _seen(allowed, surface, i + 1, j + 1, cz, g, width, height, tolerance, DEPTH)
            a, b = tl.where(g0, (1 - fx) * (1 - fy), 0.0), tl.where(g1, fx * (1 - fy), 0.0)
            c, d = tl.where(g2, (1 - fx) * fy, 0.0), tl.where(g3, fx * fy, 0.0)
            _add(products + p0 * 5, a * a, g0)
            _add(products + p1 * 5, b * b, g1)
            _add(products + p2 * 5, c * c, g2)
            _add(products + p3 * 5, d * d, g3)
            _add(products + p0 * 5 + 1, a * b, g0)
            _add(products + p0 * 5 + 3, a * c, g0)
            _add(products + p0 * 5 + 4, a * d, g0)
            _add(products + p1 * 5 + 2, b * c, g1)
            _add(products + p1 * 5 + 3, b * d, g1)
            _add(products + p2 * 5 + 1, c * d, g2)
        else:
            _add(products + p * PRODUCTS, tl.full([B, NP], 1.0, tl.float32), g)
        for channel in tl.static_range(C):
            if STORED:
                value = tl.load(stored + (k[:, None] * N + s[None, :]) * C + channel, some, 0.0)
            else:
                number = tl.full([1, 1], channel, tl.int32)
                drawn = normal(child_bits, number)
                mean = tl.sum(tl.where(some, drawn, 0.0), 1) / N
                value = own * normal(parent_bits[:, None], number) + fresh * (drawn - mean[:, None])
            if RAMP > 0:
                _add(sums + p0 * C + channel, a * value, g0)
                _add(sums + p1 * C + channel, b * value, g1)
                _add(sums + p2 * C + channel, c * value, g2)
                _add(sums + p3 * C + channel, d * value, g3)
            else:
                _add(sums + p * C + channel, value, g)


@triton.jit(do_not_specialize=["key"])
def normalise(total, gram, out, key: tl.uint64, M, area, C, B: tl.constexpr):
    """out[v, c, p] = total[v, p, c] / sqrt(gram[v, p]); the fresh noise of (view, pixel) where nothing fell."""
    at = tl.program_id(0) * B + tl.arange(0, B)
    live = at < M
    view, c, p = at // (C * area), (at // area) % C, at % area
    pixel = view * area + p
    count = tl.load(gram + pixel, live, 0).to(tl.float64) / SCALE
    value = tl.load(total + pixel * C + c, live, 0).to(tl.float64) / SCALE
    mean = (value / tl.sqrt(tl.maximum(count, 1.0))).to(tl.float32)
    tl.store(out + at, tl.where(count > 0, mean, normal(mix64(key, pixel.to(tl.int64)), c)), live)


@triton.jit
def _neighbours(plane, field, x, y, live, width, height, DX: tl.constexpr, DY: tl.constexpr):
    """The products with the pixels at (DY, DX) and at (-DY, -DX)."""
    step = DY * width + DX
    ahead = live & (x + DX >= 0) & (x + DX < width) & (y + DY < height)
    behind = live & (x - DX >= 0) & (x - DX < width) & (y >= DY)
    g = tl.load(plane, live, 0.0) * tl.load(field + step, ahead, 0.0)
    return g + tl.load(plane - step, behind, 0.0) * tl.load(field - step, behind, 0.0)


@triton.jit
def chebyshev_step(
    diagonal, planes, now, before, out, scale, shift, factor, previous, coefficient, M, width, height, C,
    B: tl.constexpr,
):  # fmt: skip
    """before = factor A now - previous before, and out += coefficient before; A as in paint_kernels.chebyshev.

    Maps [V, C, h, w]; planes [V, 4, h, w] hold the products with the pixels at (0, 1), (1, -1), (1, 0), (1, 1).
    """
    at = tl.program_id(0) * B + tl.arange(0, B)
    live = at < M
    area = width * height
    view, p = at // (C * area), at % area
    x, y = p % width, p // width
    own, field = planes + view * 4 * area + p, now + at
    g = tl.load(diagonal + view * area + p, live, 0.0) * tl.load(field, live, 0.0)
    g += _neighbours(own, field, x, y, live, width, height, 1, 0)
    g += _neighbours(own + area, field, x, y, live, width, height, -1, 1)
    g += _neighbours(own + 2 * area, field, x, y, live, width, height, 0, 1)
    g += _neighbours(own + 3 * area, field, x, y, live, width, height, 1, 1)
    value = factor * (scale * g - shift * tl.load(field, live, 0.0)) - previous * tl.load(before + at, live, 0.0)
    tl.store(before + at, value, live)
    tl.store(out + at, tl.load(out + at, live, 0.0) + coefficient * value, live)
