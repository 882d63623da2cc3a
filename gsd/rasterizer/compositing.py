"""Kernels that blend the Gaussians of a tile front to back, and carry the gradient of the image to them."""

import numpy as np

from gsd.backend.jit import njit
from gsd.rasterizer.layout import (
    AT_ALPHA_MAX,
    AT_ONE,
    AT_T_MIN,
    BH,
    BLOCKS,
    BLUE,
    BW,
    CUTOFF,
    DEPTH,
    GRADIENT,
    GREEN,
    HA,
    HC,
    OPACITY,
    RATIO,
    RED,
    ROW,
    RY,
    SHEAR,
    SLACK,
    SQUARE,
    TBX,
    TILE,
    TOP,
    F,
    X,
    Y,
)  # fmt: skip
from gsd.rasterizer.simd import (
    LANES,
    load,
    lowest_bit,
    maximum,
    minimum,
    minus_absolute,
    negative_everywhere,
    prefetch,
    root,
    row_masks,
    select,
    splat,
    store,
    total,
)  # fmt: skip


@njit
def exp_neg(s, p):
    """exp(-s) for 0 <= s <= ln 255, relative error 6e-7: a minimax polynomial for exp(-s/8), to the 8th power."""
    t = p[0] * s + p[1]
    t = t * s + p[2]
    t = t * s + p[3]
    t = t * s + p[4]
    t = t * s + p[5]
    t = t * t
    t = t * t
    return t * t


@njit
def exp_coefficients(table):
    """The coefficients that `exp_neg` takes."""
    return splat(table[0]), splat(table[1]), splat(table[2]), splat(table[3]), splat(table[4]), splat(table[5])


@njit
def pixel_offsets():
    """Column and row of each lane within a block, and its number."""
    offsets = np.empty(3 * LANES, np.float32)
    for i in range(LANES):
        offsets[i] = F(i % BW) + F(0.5)
        offsets[LANES + i] = F(i // BW) + F(0.5)
        offsets[2 * LANES + i] = i
    return load(offsets, 0), load(offsets, LANES), load(offsets, 2 * LANES)


@njit
def block_corners():
    """Column and row of the first pixel of every block of a tile."""
    corners = np.empty((2, BLOCKS), np.float32)
    for i in range(BLOCKS):
        corners[0, i] = i % TBX * BW
        corners[1, i] = i // TBX * BH
    return corners[0], corners[1]


@njit
def block_rows(row, y):
    """First and one past the last row of a tile's blocks that the cutoff ellipse may touch."""
    reach = row[RY] + SLACK
    first = int(min(max(y - reach + F(0.5), F(0.0)), F(TILE)) * F(1.0 / BH))
    last = int(min(max(y + reach + F(BH - 0.5), F(0.0)), F(TILE)) * F(1.0 / BH))
    return first, last


@njit
def cover(row, x, y, first, lanes, live):
    """The live blocks that the cutoff ellipse touches in the eight rows of blocks from `first` on, as 128 bits.

    (x, y) is the mean relative to the tile. Within a row of blocks the ellipse is widest at a height known in closed
    form, so that two square roots for eight rows at once give all spans.
    """
    shear, top, ratio, square = splat(row[SHEAR]), splat(row[TOP]), splat(row[RATIO]), splat(row[SQUARE])
    zero, edge, reach = splat(F(0.0)), splat(F(TBX)), splat(row[RY] + SLACK)
    low = (lanes + F(first)) * F(BH) + (F(0.5) - y)
    high = low + F(BH - 1)
    v = minimum(maximum(top, low), high)
    right = shear * v + root(maximum(square - ratio * v * v, zero))
    v = minimum(maximum(zero - top, low), high)
    left = shear * v - root(maximum(square - ratio * v * v, zero))
    begin = minimum(maximum((left + (x - SLACK + F(0.5))) * F(1.0 / BW), zero), edge)
    end = minimum(maximum((right + (x + SLACK + F(BW - 0.5))) * F(1.0 / BW), zero), edge)
    end = select(low <= reach, end, zero)
    return row_masks(begin, maximum(begin, end), live, first)


@njit
def evaluate(u, v, shear, ha, hc, o, p):
    """Exponent and opacity of a Gaussian at pixels (u, v) from its mean, and u in the sheared frame."""
    u = u - shear * v
    s = ha * u * u + hc * v * v
    return u, s, o * exp_neg(s, p)


@njit
def advance(T, alpha, lowest):
    """Which pixels go on, the weight they give, and their new transmittance; a finished pixel keeps -T."""
    after = T - T * alpha
    going = after > lowest
    return going, select(going, alpha * T, splat(F(0.0))), select(going, after, minus_absolute(T))


@njit
def retire(live, block):
    """Take a finished block out of the live ones."""
    live[block // TBX] &= ~(np.uint16(1) << np.uint16(block % TBX))


@njit
def composite(rows, ids, left, top, blocks, live, alive, table):
    """Front to back over the Gaussians of a tile. A block holds r g b depth alpha T."""
    lx, ly, lanes = pixel_offsets()
    column, line = block_corners()
    flat, p = rows.reshape(-1), exp_coefficients(table)
    zero, highest, lowest = splat(F(0.0)), splat(table[AT_ALPHA_MAX]), splat(table[AT_T_MIN])
    for i in range(len(ids)):
        prefetch(flat, ids[min(i + 4, len(ids) - 1)] * ROW)
        row = rows[ids[i]]
        x, y = row[X] - left, row[Y] - top
        lu, lv, shear, ha, hc = lx - x, ly - y, splat(row[SHEAR]), splat(row[HA]), splat(row[HC])
        o, cutoff = splat(row[OPACITY]), splat(row[CUTOFF])
        r, g, b, z = splat(row[RED]), splat(row[GREEN]), splat(row[BLUE]), splat(row[DEPTH])
        y0, y1 = block_rows(row, y)
        for first in range(y0, y1, LANES):
            word, rest = cover(row, x, y, first, lanes, live)
            base = np.uint64(first * TBX)
            while True:
                if word == 0:
                    if rest == 0:
                        break
                    word, rest, base = rest, np.uint64(0), base + np.uint64(64)
                block = base + np.uint64(lowest_bit(word))
                word &= word - np.uint64(1)
                at = np.int64(block) * (6 * LANES)
                _, s, raw = evaluate(lu + column[block], lv + line[block], shear, ha, hc, o, p)
                alpha = select(s <= cutoff, minimum(raw, highest), zero)
                _, w, T = advance(load(blocks, at + 5 * LANES), alpha, lowest)
                store(blocks, at, load(blocks, at) + w * r)
                store(blocks, at + LANES, load(blocks, at + LANES) + w * g)
                store(blocks, at + 2 * LANES, load(blocks, at + 2 * LANES) + w * b)
                store(blocks, at + 3 * LANES, load(blocks, at + 3 * LANES) + w * z)
                store(blocks, at + 4 * LANES, load(blocks, at + 4 * LANES) + w)
                store(blocks, at + 5 * LANES, T)
                if negative_everywhere(T):
                    retire(live, block)
                    alive -= 1
                    if alive == 0:
                        return


@njit
def composite_backward(rows, ids, left, top, blocks, live, alive, table, grads):  # noqa: PLR0915
    """Front to back again, adding to the rows of `grads`.

    A block holds T, R, the gradients of r g b and depth, an offset and the depth. With q_j the gradient of the pixel
    times the features of Gaussian j, R starts as sum_j w_j q_j and loses w_j q_j at every Gaussian: what is left is the
    part of those behind, so that d loss / d alpha_j = T_j q_j - R / (1 - alpha_j).
    """
    lx, ly, lanes = pixel_offsets()
    column, line = block_corners()
    flat, flat_grads, p = rows.reshape(-1), grads.reshape(-1), exp_coefficients(table)
    zero, one = splat(F(0.0)), splat(table[AT_ONE])
    highest, lowest = splat(table[AT_ALPHA_MAX]), splat(table[AT_T_MIN])
    for i in range(len(ids)):
        ahead = ids[min(i + 4, len(ids) - 1)]
        prefetch(flat, ahead * ROW)
        prefetch(flat_grads, ahead * GRADIENT)
        row = rows[ids[i]]
        x, y = row[X] - left, row[Y] - top
        lu, lv, shear, ha, hc = lx - x, ly - y, splat(row[SHEAR]), splat(row[HA]), splat(row[HC])
        o, cutoff = splat(row[OPACITY]), splat(row[CUTOFF])
        r, g, b, z = splat(row[RED]), splat(row[GREEN]), splat(row[BLUE]), splat(row[DEPTH])
        m, mu, mv, muu, muv, mvv = zero, zero, zero, zero, zero, zero  # moments of ds = d loss / d exponent
        wr, wg, wb, wz = zero, zero, zero, zero
        y0, y1 = block_rows(row, y)
        for first in range(y0, y1, LANES):
            word, rest = cover(row, x, y, first, lanes, live)
            base = np.uint64(first * TBX)
            while True:
                if word == 0:
                    if rest == 0:
                        break
                    word, rest, base = rest, np.uint64(0), base + np.uint64(64)
                block = base + np.uint64(lowest_bit(word))
                word &= word - np.uint64(1)
                at = np.int64(block) * (8 * LANES)
                v = lv + line[block]
                u, s, raw = evaluate(lu + column[block], v, shear, ha, hc, o, p)
                alpha = select(s <= cutoff, minimum(raw, highest), zero)
                going, w, T = advance(load(blocks, at), alpha, lowest)
                gr, gg, gb = load(blocks, at + 2 * LANES), load(blocks, at + 3 * LANES), load(blocks, at + 4 * LANES)
                gz, depth = load(blocks, at + 5 * LANES), load(blocks, at + 7 * LANES)
                q = load(blocks, at + 6 * LANES) + r * gr + g * gg + b * gb + (z - depth) * gz
                R = load(blocks, at + LANES) - w * q
                ds = alpha * (R / (one - alpha)) - w * q
                ds = select(going & (raw <= highest), ds, zero)  # where alpha is clamped it does not depend on s
                store(blocks, at, T)
                store(blocks, at + LANES, R)
                du, dv = ds * u, ds * v
                m, mu, mv = m + ds, mu + du, mv + dv
                muu, muv, mvv = muu + du * u, muv + du * v, mvv + dv * v
                wr, wg, wb, wz = wr + w * gr, wg + w * gg, wb + w * gb, wz + w * gz
                if negative_everywhere(T):
                    retire(live, block)
                    alive -= 1
        out = grads[ids[i]]
        add_geometry(out, row, total(m), total(mu), total(mv), total(muu), total(muv), total(mvv))
        out[6] += total(wr)
        out[7] += total(wg)
        out[8] += total(wb)
        out[9] += total(wz)
        if alive == 0:
            return


@njit
def add_geometry(out, row, m, mu, mv, muu, muv, mvv):
    """Gradients of x y shear ha hc opacity from the moments of ds: s = ha u^2 + hc v^2, u = dx - shear dy, v = dy."""
    ha = row[HA]
    out[0] -= F(2.0) * ha * mu
    out[1] += F(2.0) * (ha * row[SHEAR] * mu - row[HC] * mv)
    out[2] -= F(2.0) * ha * muv
    out[3] += muu
    out[4] += mvv
    out[5] -= m / row[OPACITY]


@njit
def open_tile(blocks, live, size, channel, columns, rows):
    """Empty blocks of `size` channels: T = 1, and -1 (finished) beyond the image, which has columns x rows pixels here.

    Returns how many blocks have a pixel; `live` has one bit for each of them, a word per row of blocks.
    """
    blocks[: BLOCKS * size * LANES] = F(0.0)
    blocks_x, blocks_y = (columns + BW - 1) // BW, (rows + BH - 1) // BH
    live[:] = 0
    for by in range(blocks_y):
        live[by] = (1 << blocks_x) - 1
        for bx in range(blocks_x):
            at = ((by * TBX + bx) * size + channel) * LANES
            for lane in range(LANES):
                blocks[at + lane] = F(1.0) if bx * BW + lane % BW < columns and by * BH + lane // BW < rows else F(-1.0)
    return blocks_x * blocks_y


@njit
def close_tile(blocks, background, middle, render, alpha, rest):
    """Blocks to images: colours over the background, expected depth, alpha; and what is kept for the way back:

    the transmittance that is left, and the depth relative to `middle`, from which depths are measured here.
    """
    b0, b1, b2 = background[0], background[1], background[2]
    for i in range(alpha.shape[0]):
        for j in range(alpha.shape[1]):
            at = ((i // BH) * TBX + j // BW) * (6 * LANES) + (i % BH) * BW + j % BW
            a, T = blocks[at + 4 * LANES], abs(blocks[at + 5 * LANES])
            render[i, j, 0] = blocks[at] + T * b0
            render[i, j, 1] = blocks[at + LANES] + T * b1
            render[i, j, 2] = blocks[at + 2 * LANES] + T * b2
            depth = blocks[at + 3 * LANES] / max(a, F(1e-10))
            render[i, j, 3] = depth + middle if a > F(0.0) else F(0.0)
            alpha[i, j, 0] = a
            rest[i, j, 0], rest[i, j, 1] = T, depth


@njit
def open_gradients(blocks, background, render, alpha, rest, g_render, g_alpha):
    """Images to blocks: what `composite_backward` needs of every pixel.

    q is measured from its mean k over the pixel's weights. Then sum_j w_j q_j = 0, and since sum_(k > j) w_k is
    T_(j+1) - T_end, the constant only adds k T_end / (1 - alpha_j) to d loss / d alpha_j: R starts at -k T_end, which
    is small where much is composited and keeps the digits of the faint gradients behind.
    """
    b0, b1, b2 = background[0], background[1], background[2]
    for i in range(alpha.shape[0]):
        for j in range(alpha.shape[1]):
            at = ((i // BH) * TBX + j // BW) * (8 * LANES) + (i % BH) * BW + j % BW
            T, per_alpha = rest[i, j, 0], F(1.0) / max(alpha[i, j, 0], F(1e-10))
            gr, gg, gb = g_render[i, j, 0], g_render[i, j, 1], g_render[i, j, 2]
            front = gr * (render[i, j, 0] - T * b0) + gg * (render[i, j, 1] - T * b1) + gb * (render[i, j, 2] - T * b2)
            cover = g_alpha[i, j, 0] - gr * b0 - gg * b1 - gb * b2
            mean = front * per_alpha
            blocks[at + LANES] = -(mean + cover) * T
            blocks[at + 2 * LANES] = gr
            blocks[at + 3 * LANES] = gg
            blocks[at + 4 * LANES] = gb
            blocks[at + 5 * LANES] = g_render[i, j, 3] * per_alpha
            blocks[at + 6 * LANES] = -mean
            blocks[at + 7 * LANES] = rest[i, j, 1]
