"""Numba kernels of the anchored noisings; their torch twins stand beside the callers."""

import numpy as np

from gsd.backend.jit import njit


@njit
def add_rows(row, column, weight, x, out):
    """out[row[e]] += weight[e] x[column[e]]."""
    channels = x.shape[1]
    for e in range(len(row)):
        r, m, a = row[e], column[e], np.float32(weight[e])
        for c in range(channels):
            out[r, c] += a * x[m, c]


@njit
def add_owned(owner, group, values, out):
    """out[owner[v, s]] += the value of sub-pixel s in the group of view v; values [G S, C]."""
    views, subs = owner.shape
    for v in range(views):
        first = group[v] * subs
        for s in range(subs):
            p = owner[v, s]
            if p >= 0:
                for c in range(values.shape[1]):
                    out[p, c] += values[first + s, c]


@njit
def cover(x, y, inverse, ring, depth, per_pixel, widest, tolerance, owner):
    """owner[i, j] = the first pixel that covers sub-pixel (j, i) with the anchor's surface; see integral.cover.

    x, y, inverse [P, 9]; ring: the grid points around the centre, which is number 4; owner [h n, w n], initially -1.
    """
    rows, columns = owner.shape
    n = np.float64(per_pixel)
    for p in range(len(x)):
        cx, cy = x[p, 4], y[p, 4]
        for t in range(8):
            a, b = ring[t], ring[(t + 1) % 8]
            ax, ay, bx, by = x[p, a], y[p, a], x[p, b], y[p, b]
            area = (ax - cx) * (by - cy) - (ay - cy) * (bx - cx)
            if not area > 0:  # NaN too
                continue
            left, right, top, bottom = min(cx, ax, bx), max(cx, ax, bx), min(cy, ay, by), max(cy, ay, by)
            if right - left > widest or bottom - top > widest:
                continue
            first, last = max(np.ceil(left * n - 0.5), 0.0), min(np.floor(right * n - 0.5), columns - 1.0)
            upper, lower = max(np.ceil(top * n - 0.5), 0.0), min(np.floor(bottom * n - 0.5), rows - 1.0)
            if not (first <= last and upper <= lower):
                continue
            for i in range(int(upper), int(lower) + 1):
                qy = (i + 0.5) / n
                for j in range(int(first), int(last) + 1):
                    if owner[i, j] >= 0:
                        continue
                    qx = (j + 0.5) / n
                    ec = (ax - qx) * (by - qy) - (ay - qy) * (bx - qx)
                    ea = (bx - qx) * (cy - qy) - (by - qy) * (cx - qx)
                    eb = (cx - qx) * (ay - qy) - (cy - qy) * (ax - qx)
                    if ec < 0 or ea < 0 or eb < 0:
                        continue
                    far = (ec * inverse[p, 4] + ea * inverse[p, a] + eb * inverse[p, b]) / (ec + ea + eb)
                    z = 1 / far if far != 0 else 0.0
                    anchor_z = depth[i // per_pixel, j // per_pixel]
                    if abs(z - anchor_z) < tolerance and (z == 0) == (anchor_z == 0):
                        owner[i, j] = p
