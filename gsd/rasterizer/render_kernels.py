"""The compiled work of one view: project, sort, hand out to tiles, composite; and the way back."""

import numpy as np

from gsd.backend.jit import njit
from gsd.rasterizer.compositing import close_tile, composite, composite_backward, open_gradients, open_tile
from gsd.rasterizer.layout import BLOCKS, DEPTH, LANES, TBY, TILE, F
from gsd.rasterizer.projection import project


@njit
def sort_by_depth(depths, ids, count):
    """Stable radix sort of the first `count` indices by depth; positive floats order like their bits."""
    bits = depths.view(np.uint32)
    keys, other_keys = np.empty(count, np.uint32), np.empty(count, np.uint32)
    other = np.empty(count, np.int32)
    hist = np.zeros((3, 2048), np.int32)
    for i in range(count):
        key = bits[ids[i]]
        keys[i] = key
        hist[0, key & 2047] += 1
        hist[1, (key >> 11) & 2047] += 1
        hist[2, key >> 22] += 1
    source, target = ids[:count], other
    for p in range(3):
        shift = np.uint32(11 * p)
        if count == 0 or hist[p, (keys[0] >> shift) & 2047] == count:  # all alike in these bits
            continue
        start = 0
        for b in range(2048):
            start += hist[p, b]
            hist[p, b] = start - hist[p, b]
        for i in range(count):
            b = (keys[i] >> shift) & 2047
            at = hist[p, b]
            target[at] = source[i]
            other_keys[at] = keys[i]
            hist[p, b] = at + 1
        source, target = target, source
        keys, other_keys = other_keys, keys
    for i in range(count):
        ids[i] = source[i]


@njit
def distribute(order, tiles, tiles_x, tiles_y):
    """The Gaussians of every tile, front to back: tile t has entries[offsets[t] : offsets[t + 1]]."""
    offsets = np.zeros(tiles_x * tiles_y + 1, np.int64)
    if tiles_x * tiles_y == 1:
        offsets[1] = len(order)
        return order, offsets
    ranges = np.empty((len(order), 4), np.uint16)  # in depth order: `tiles` is read from all over only once
    for i in range(len(order)):
        for side in range(4):
            ranges[i, side] = tiles[order[i], side]
        for ty in range(ranges[i, 2], ranges[i, 3]):
            for tx in range(ranges[i, 0], ranges[i, 1]):
                offsets[ty * tiles_x + tx + 1] += 1
    for t in range(tiles_x * tiles_y):
        offsets[t + 1] += offsets[t]
    entries = np.empty(offsets[-1], np.int32)
    cursor = np.empty(tiles_x * tiles_y, np.int64)
    for t in range(tiles_x * tiles_y):
        cursor[t] = offsets[t]
    for i in range(len(order)):
        for ty in range(ranges[i, 2], ranges[i, 3]):
            for tx in range(ranges[i, 0], ranges[i, 1]):
                t = ty * tiles_x + tx
                entries[cursor[t]] = order[i]
                cursor[t] += 1
    return entries, offsets


@njit
def forward_view(
    c, means, quats, scales, opacities, cutoffs, colors, viewmats, Ks, width, height, eps, near, far, grounds, table,
    rows, depths, radii, render, alpha, rest,
):  # fmt: skip
    """Everything of view c, from parameters to image."""
    features = colors[c if colors.shape[0] > 1 else 0]
    ids, tiles = np.empty(means.shape[0], np.int32), np.empty((means.shape[0], 4), np.uint16)
    count = project(
        means, quats, scales, opacities, cutoffs, features, viewmats[c], Ks[c], width, height, eps, near, far,
        rows[c], depths[c], radii[c], tiles, ids,
    )  # fmt: skip
    sort_by_depth(depths[c], ids, count)
    # Depths are measured from the median one: they are differences in what follows, and so keep their digits.
    middle = depths[c, ids[count // 2]] if count > 0 else F(0.0)
    for n in ids[:count]:
        rows[c, n, DEPTH] -= middle
    tiles_x, tiles_y = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    entries, offsets = distribute(ids[:count], tiles, tiles_x, tiles_y)
    blocks, live = np.empty(BLOCKS * 6 * LANES, np.float32), np.empty(TBY + LANES, np.uint16)
    for t in range(tiles_x * tiles_y):
        top, left = t // tiles_x * TILE, t % tiles_x * TILE
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        alive = open_tile(blocks, live, 6, 5, right - left, bottom - top)
        mine = entries[offsets[t] : offsets[t + 1]]
        composite(rows[c], mine, F(left), F(top), blocks, live, alive, table)
        ys, xs = slice(top, bottom), slice(left, right)
        close_tile(blocks, grounds[c], middle, render[c, ys, xs], alpha[c, ys, xs], rest[c, ys, xs])
    return entries, offsets


@njit
def backward_view(c, rows, entries, offsets, render, alpha, rest, grounds, table, g_render, g_alpha, grads):
    """From the gradient of view c's image to those of its projected Gaussians."""
    height, width = alpha.shape[1], alpha.shape[2]
    grads[c] = F(0.0)
    tiles_x, tiles_y = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    blocks, live = np.empty(BLOCKS * 8 * LANES, np.float32), np.empty(TBY + LANES, np.uint16)
    for t in range(tiles_x * tiles_y):
        top, left = t // tiles_x * TILE, t % tiles_x * TILE
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        alive = open_tile(blocks, live, 8, 0, right - left, bottom - top)
        ys, xs = slice(top, bottom), slice(left, right)
        open_gradients(
            blocks, grounds[c], render[c, ys, xs], alpha[c, ys, xs], rest[c, ys, xs],
            g_render[c, ys, xs], g_alpha[c, ys, xs],
        )  # fmt: skip
        mine = entries[offsets[t] : offsets[t + 1]]
        composite_backward(rows[c], mine, F(left), F(top), blocks, live, alive, table, grads[c])
