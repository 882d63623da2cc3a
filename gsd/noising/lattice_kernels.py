"""Numba kernel of gsd.noising.lattice; the torch twin stands there."""

import numpy as np

from gsd.jit import njit


@njit
def gather(points, edge, reach, keys, sums, counts):
    """The different cells of size `edge` that points fall into: keys[:n], and the sums and counts of their points.

    Points that are not finite or `reach` cells away are left out. Returns n.
    """
    capacity = 16
    while capacity < 2 * len(points):
        capacity *= 2
    table = np.full(capacity, -1, np.int32)
    mask, n = np.uint64(capacity - 1), 0
    for k in range(len(points)):
        fx, fy, fz = np.floor(points[k, 0] / edge), np.floor(points[k, 1] / edge), np.floor(points[k, 2] / edge)
        if not (abs(fx) < reach - 1 and abs(fy) < reach - 1 and abs(fz) < reach - 1):
            continue
        x, y, z = np.int64(fx) + reach, np.int64(fy) + reach, np.int64(fz) + reach
        key = (x << np.int64(42)) | (y << np.int64(21)) | z
        h = np.uint64(key)
        h = (h ^ (h >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        slot = (h ^ (h >> np.uint64(29))) & mask
        while table[slot] >= 0 and keys[table[slot]] != key:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] < 0:
            table[slot] = n
            keys[n], counts[n], sums[n, :] = key, 0, 0
            n += 1
        c = table[slot]
        counts[c] += 1
        for i in range(3):
            sums[c, i] += points[k, i]
    return n
