"""Triton kernels that hand Gaussians out to tiles and blend them there, forward and backward.

One program per tile of TILE x TILE pixels walks the tile's Gaussians front to back, K at a time. What is indexed [K, P]
has a Gaussian per row and a pixel per column; the compiler gives each thread whole columns, so that products and sums
along a ray stay in its registers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from gsd.rasterizer import layout
from gsd.rasterizer.project_triton import COLUMNS, SLOPES

ALPHA_MAX, T_MIN = tl.constexpr(layout.ALPHA_MAX), tl.constexpr(layout.T_MIN)


@triton.jit
def assign(owners, ends, counts, corners, spans, depths, keys, M, tiles_x, B: tl.constexpr):
    """keys[i] of entry i of M: its tile in the upper 32 bits, its depth in the lower.

    The entries of a Gaussian, one per tile, lie one after the other and end before `ends`; `owners` has their Gaussian.
    """
    i = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = i < M
    owner = tl.load(owners + i, live, 0)
    k = (i - tl.load(ends + owner, live, 0) + tl.load(counts + owner, live, 0)).to(tl.int32)
    span = tl.load(spans + owner, live, 1)
    tile = tl.load(corners + owner, live, 0) + k // span * tiles_x + k % span
    bits = tl.load(depths + owner, live, 0.0).to(tl.int32, bitcast=True)  # positive floats order like their bits
    tl.store(keys + i, (tile.to(tl.int64) << 32) | bits.to(tl.int64), live)


@triton.jit
def _pixels(tile, width, height, tiles_x, tiles_y, TILE: tl.constexpr):
    """The view of a tile, its left and upper edge, and of its pixels [P] the place in the tile and in the images."""
    view = tile // (tiles_x * tiles_y)
    left, top = tile % tiles_x * TILE, tile // tiles_x % tiles_y * TILE
    p = tl.arange(0, TILE * TILE)
    x, y = p % TILE, p // TILE
    inside = (left + x < width) & (top + y < height)
    place = (view.to(tl.int64) * height + top + y) * width + left + x
    return view, left, top, x.to(tl.float32) + 0.5, y.to(tl.float32) + 0.5, inside, place


@triton.jit
def _features(row, some):
    """r g b and depth of Gaussians."""
    return (
        tl.load(row + 7, some, 0.0), tl.load(row + 8, some, 0.0),
        tl.load(row + 9, some, 0.0), tl.load(row + 10, some, 0.0),
    )  # fmt: skip


@triton.jit
def _evaluate(row, some, left, top, px, py):
    """u and v of every pair, its opacity (0 beyond the cutoff), and where that is clamped; see layout."""
    v = py[None, :] - (tl.load(row + 1, some, 0.0) - top)[:, None]
    u = px[None, :] - (tl.load(row, some, 0.0) - left)[:, None] - tl.load(row + 2, some, 0.0)[:, None] * v
    s = tl.load(row + 3, some, 0.0)[:, None] * u * u + tl.load(row + 4, some, 0.0)[:, None] * v * v
    raw = tl.load(row + 5, some, 0.0)[:, None] * tl.exp(-s)
    alpha = tl.where(s <= tl.load(row + 6, some, 0.0)[:, None], tl.minimum(raw, ALPHA_MAX), 0.0)
    return u, v, alpha, raw > ALPHA_MAX


@triton.jit
def _advance(T, alpha):
    """Of pairs: one over what passes, and the weights; of pixels: their new transmittance, -T where they are finished.

    The Gaussian that would take a pixel below T_MIN, and all behind it, are left out.
    """
    per_pass = 1.0 / (1.0 - alpha)
    after = T[None, :] * tl.cumprod(1.0 - alpha, 0)
    going = after > T_MIN
    lowest = tl.min(tl.where(going, after, T[None, :]), 0)
    T = tl.where(tl.min(after, 0) > T_MIN, lowest, -tl.abs(lowest))
    return per_pass, tl.where(going, alpha * after * per_pass, 0.0), T, going


@triton.jit
def composite(
    rows, entries, starts, grounds, render, alphas, rest, width, height, tiles_x, tiles_y,
    TILE: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Colours over the background and expected depth, alpha, and what is kept for the way back:

    `rest`, the transmittance that is left and the depth relative to that of the tile's first Gaussian. Tile t has
    entries[starts[t] : starts[t + 1]].
    """
    tile = tl.program_id(0)
    view, left, top, px, py, inside, place = _pixels(tile, width, height, tiles_x, tiles_y, TILE)
    i, stop = tl.load(starts + tile), tl.load(starts + tile + 1)
    middle = tl.load(rows + tl.load(entries + i, i < stop, 0) * COLUMNS + 10, i < stop, 0.0)
    T = tl.where(inside, 1.0, -1.0)
    red, green, blue, depth, cover = T * 0, T * 0, T * 0, T * 0, T * 0
    while (i < stop) & (tl.max(T, 0) > 0):
        k = i + tl.arange(0, K)
        row = rows + tl.load(entries + k, k < stop, 0) * COLUMNS
        _, _, alpha, _ = _evaluate(row, k < stop, left, top, px, py)
        _, w, T, _ = _advance(T, alpha)
        r, g, b, z = _features(row, k < stop)
        red += tl.sum(w * r[:, None], 0)
        green += tl.sum(w * g[:, None], 0)
        blue += tl.sum(w * b[:, None], 0)
        depth += tl.sum(w * (z - middle)[:, None], 0)
        cover += tl.sum(w, 0)
        i += K
    T = tl.abs(T)
    depth = depth / tl.maximum(cover, 1e-10)
    tl.store(render + place * 4, red + T * tl.load(grounds + view * 3), inside)
    tl.store(render + place * 4 + 1, green + T * tl.load(grounds + view * 3 + 1), inside)
    tl.store(render + place * 4 + 2, blue + T * tl.load(grounds + view * 3 + 2), inside)
    tl.store(render + place * 4 + 3, tl.where(cover > 0, depth + middle, 0.0), inside)
    tl.store(alphas + place, cover, inside)
    tl.store(rest + place * 2, T, inside)
    tl.store(rest + place * 2 + 1, depth, inside)


@triton.jit
def composite_backward(
    rows, entries, order, starts, grounds, render, alphas, rest, g_render, g_alpha, slopes,
    width, height, tiles_x, tiles_y, TILE: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Front to back again: slopes[order[i]] = the gradient of the row of entry i, from tile to tile apart.

    R is what `gsd.rasterizer.compositing` calls so in open_gradients and composite_backward.
    """
    tile = tl.program_id(0)
    view, left, top, px, py, inside, place = _pixels(tile, width, height, tiles_x, tiles_y, TILE)
    i, stop = tl.load(starts + tile), tl.load(starts + tile + 1)
    middle = tl.load(rows + tl.load(entries + i, i < stop, 0) * COLUMNS + 10, i < stop, 0.0)
    T = tl.load(rest + place * 2, inside, 0.0)
    per_alpha = 1.0 / tl.maximum(tl.load(alphas + place, inside, 0.0), 1e-10)
    mean, beyond = T * 0, tl.load(g_alpha + place, inside, 0.0)
    for channel in tl.static_range(3):
        pull, ground = tl.load(g_render + place * 4 + channel, inside, 0.0), tl.load(grounds + view * 3 + channel)
        mean += pull * (tl.load(render + place * 4 + channel, inside, 0.0) - T * ground) * per_alpha
        beyond -= pull * ground
    gr, gg = tl.load(g_render + place * 4, inside, 0.0), tl.load(g_render + place * 4 + 1, inside, 0.0)
    gb, gz = tl.load(g_render + place * 4 + 2, inside, 0.0), tl.load(g_render + place * 4 + 3, inside, 0.0) * per_alpha
    constant = -mean - tl.load(rest + place * 2 + 1, inside, 0.0) * gz
    R = -(mean + beyond) * T
    T = tl.where(inside, 1.0, -1.0)
    while (i < stop) & (tl.max(T, 0) > 0):
        k = i + tl.arange(0, K)
        some = k < stop
        row = rows + tl.load(entries + k, some, 0) * COLUMNS
        u, v, alpha, clamped = _evaluate(row, some, left, top, px, py)
        per_pass, w, T, going = _advance(T, alpha)
        r, g, b, z = _features(row, some)
        q = constant[None, :] + r[:, None] * gr[None, :] + g[:, None] * gg[None, :] + b[:, None] * gb[None, :]
        q = w * (q + (z - middle)[:, None] * gz[None, :])
        behind = R[None, :] - tl.cumsum(q, 0)
        R -= tl.sum(q, 0)
        ds = tl.where(going & ~clamped, alpha * per_pass * behind - q, 0.0)  # where clamped it does not depend on s
        out = slopes + tl.load(order + k, some, 0) * SLOPES
        shear, ha, hc = tl.load(row + 2, some, 0.0), tl.load(row + 3, some, 0.0), tl.load(row + 4, some, 0.0)
        mu, mv, muv = tl.sum(ds * u, 1), tl.sum(ds * v, 1), tl.sum(ds * u * v, 1)
        tl.store(out, -2.0 * ha * mu, some)
        tl.store(out + 1, 2.0 * (ha * shear * mu - hc * mv), some)
        tl.store(out + 2, -2.0 * ha * muv, some)
        tl.store(out + 3, tl.sum(ds * u * u, 1), some)
        tl.store(out + 4, tl.sum(ds * v * v, 1), some)
        tl.store(out + 5, -tl.sum(ds, 1) / tl.load(row + 5, some, 1.0), some)
        tl.store(out + 6, tl.sum(w * gr[None, :], 1), some)
        tl.store(out + 7, tl.sum(w * gg[None, :], 1), some)
        tl.store(out + 8, tl.sum(w * gb[None, :], 1), some)
        tl.store(out + 9, tl.sum(w * gz[None, :], 1), some)
        i += K
