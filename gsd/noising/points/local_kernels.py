"""Numba kernels of gsd.noising.points.local, which has their torch twins."""

import numpy as np

from gsd.backend.jit import njit

_REACH = 1 << 20  # cells on either side of the centre along an axis for which a packed key has room


@njit
def median_ball(points):
    """The median of the finite points and their median distance from it; zeros if there are none."""
    kept, n = np.empty((3, len(points))), 0
    for k in range(len(points)):
        if np.isfinite(points[k, 0]) and np.isfinite(points[k, 1]) and np.isfinite(points[k, 2]):
            kept[:, n] = points[k]
            n += 1
    centre, distance = np.zeros(3), np.zeros(n)
    if n == 0:
        return centre, 0.0
    for i in range(3):
        centre[i] = np.median(kept[i, :n])
    for k in range(n):
        distance[k] = np.sqrt(((kept[:, k] - centre) ** 2).sum())
    return centre, np.median(distance)


@njit
def assign(points, centre, size, keys, cell, moments):
    """Sort points into cubic cells: cell[k] = its cell or -1, keys[c], moments[c] = 1, x, y, z, xx, xy, xz, yy, yz, zz.

    Coordinates are relative to the centre. Returns the number of cells and the hash table from keys to cells.
    """
    capacity = 16
    while capacity < 2 * len(points):
        capacity *= 2
    table = np.full(capacity, -1, np.int32)
    n_cells = 0
    for k in range(len(points)):
        x, y, z = points[k, 0] - centre[0], points[k, 1] - centre[1], points[k, 2] - centre[2]
        fx, fy, fz = np.floor(x / size), np.floor(y / size), np.floor(z / size)
        cell[k] = -1
        if not (abs(fx) < _REACH - 1 and abs(fy) < _REACH - 1 and abs(fz) < _REACH - 1):  # NaN fails too
            continue
        key = pack(np.int64(fx), np.int64(fy), np.int64(fz))
        slot = _slot(key, table, keys)
        if table[slot] < 0:
            table[slot] = n_cells
            keys[n_cells] = key
            moments[n_cells, :] = 0
            n_cells += 1
        c = table[slot]
        cell[k] = c
        m = moments[c]
        m[0] += 1
        m[1] += x
        m[2] += y
        m[3] += z
        m[4] += x * x
        m[5] += x * y
        m[6] += x * z
        m[7] += y * y
        m[8] += y * z
        m[9] += z * z
    return n_cells, table


@njit
def hit_cells(depth, mask, viewmats, Ks, rays, edge, tolerance, keys, sums):
    """The lattice cells in which rays through the pixels of the mask end: keys[c], sums[c] = 1, x, y, z of its hits.

    depth [V, H, W] may be finer than mask [V, h, w] and Ks. Returns the number of cells.
    """
    capacity = 16
    while capacity < 2 * len(keys):
        capacity *= 2
    table = np.full(capacity, -1, np.int32)
    n_cells = 0
    views, height, width = mask.shape
    down, right, inverse = depth.shape[1] / (height * rays), depth.shape[2] / (width * rays), 1.0 / edge
    for v in range(views):
        R, t, K, image = viewmats[v], viewmats[v, :3, 3], Ks[v], depth[v]
        for pixel in range(height * width):
            i, j = pixel // width, pixel % width
            if not mask[v, i, j]:
                continue
            for ray in range(rays * rays):
                row, column = i * rays + ray // rays, j * rays + ray % rays
                near = image[int(row * down), int(column * right)]
                z = _between(image, (row + 0.5) * down - 0.5, (column + 0.5) * right - 0.5)
                if not abs(z - near) < tolerance:
                    z = near
                x = ((column + 0.5) / rays - K[0, 2]) / K[0, 0] * z - t[0]
                y = ((row + 0.5) / rays - K[1, 2]) / K[1, 1] * z - t[1]
                z -= t[2]
                wx = R[0, 0] * x + R[1, 0] * y + R[2, 0] * z
                wy = R[0, 1] * x + R[1, 1] * y + R[2, 1] * z
                wz = R[0, 2] * x + R[1, 2] * y + R[2, 2] * z
                fx, fy, fz = np.floor(wx * inverse), np.floor(wy * inverse), np.floor(wz * inverse)
                if not (abs(fx) < _REACH - 1 and abs(fy) < _REACH - 1 and abs(fz) < _REACH - 1):  # NaN fails too
                    continue
                key = pack(np.int64(fx), np.int64(fy), np.int64(fz))
                slot = _slot(key, table, keys)
                c = table[slot]
                if c < 0:
                    c = table[slot] = n_cells
                    keys[c] = key
                    sums[c, :] = 0
                    n_cells += 1
                sums[c, 0] += 1
                sums[c, 1] += wx
                sums[c, 2] += wy
                sums[c, 3] += wz
    return n_cells


@njit
def _between(image, y, x):
    """Bilinear, beyond the outermost pixel centres constant."""
    height, width = image.shape
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    i, j = min(int(y), height - 2) if height > 1 else 0, min(int(x), width - 2) if width > 1 else 0
    a, b = y - i, x - j
    i1, j1 = min(i + 1, height - 1), min(j + 1, width - 1)
    above = (1 - b) * image[i, j] + b * image[i, j1]
    below = (1 - b) * image[i1, j] + b * image[i1, j1]
    return (1 - a) * above + a * below


@njit
def pack(x, y, z):
    """One key for the integer coordinates of a cell."""
    return ((x + _REACH) << np.int64(42)) | ((y + _REACH) << np.int64(21)) | (z + _REACH)


@njit
def _slot(key, table, keys):
    """The slot of a key in the table, or the free slot where it belongs (linear probing)."""
    mask = np.uint64(len(table) - 1)
    x = np.uint64(key)
    x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    slot = (x ^ (x >> np.uint64(29))) & mask
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit
def describe(n_cells, table, keys, moments, side, flat, spacing, normal, flatness):
    """Spacing, normal and flatness of every cell, from the points of the 27 cells around it: a patch `side` wide.

    Without `flat`, flatness is 0 and there is no normal.
    """
    total = moments[:n_cells].copy()
    for shift in range(14, 27):  # half of the neighbours; each pair adds its moments to each other
        dx, dy, dz = np.int64(shift // 9 - 1), np.int64(shift // 3 % 3 - 1), np.int64(shift % 3 - 1)
        offset = (dx << np.int64(42)) + (dy << np.int64(21)) + dz
        for c in range(n_cells):
            other = table[_slot(keys[c] + offset, table, keys)]
            if other >= 0:
                for i in range(10):
                    total[c, i] += moments[other, i]
                    total[other, i] += moments[c, i]
    for c in range(n_cells):
        spacing[c] = side / np.sqrt(total[c, 0])
        flatness[c] = _flattest(total[c], normal[c]) if flat else 0.0


@njit
def _flattest(m, normal):
    """The direction of least variance, and 1 - the ratio of the two smallest variances."""
    n = m[0]
    x, y, z = m[1] / n, m[2] / n, m[3] / n
    a, b, c = m[4] / n - x * x, m[5] / n - x * y, m[6] / n - x * z
    d, e, f = m[7] / n - y * y, m[8] / n - y * z, m[9] / n - z * z
    mean = (a + d + f) / 3
    p = np.sqrt(((a - mean) ** 2 + (d - mean) ** 2 + (f - mean) ** 2 + 2 * (b * b + c * c + e * e)) / 6)
    normal[:] = 0
    if n < 4 or p <= 1e-12 * mean or mean <= 0:
        return 0.0
    ka, kd, kf = a - mean, d - mean, f - mean
    half = (ka * (kd * kf - e * e) - b * (b * kf - e * c) + c * (b * e - kd * c)) / (2 * p**3)
    angle = np.arccos(min(1.0, max(-1.0, half))) / 3
    largest = mean + 2 * p * np.cos(angle)
    least = mean + 2 * p * np.cos(angle + 2 * np.pi / 3)
    middle = 3 * mean - largest - least
    if middle <= 0:  # all on a line
        return 0.0
    a, d, f = a - least, d - least, f - least
    best = 0.0
    for pair in range(3):  # the normal is orthogonal to the rows of A - least I; take the longest cross product
        if pair == 0:
            u, v, w = b * e - c * d, c * b - a * e, a * d - b * b
        elif pair == 1:
            u, v, w = b * f - c * e, c * c - a * f, a * e - b * c
        else:
            u, v, w = d * f - e * e, e * c - b * f, b * e - d * c
        length = np.sqrt(u * u + v * v + w * w)
        if length > best:
            best = length
            normal[0], normal[1], normal[2] = u / length, v / length, w / length
    return 1 - max(least, 0.0) / middle if best > 0 else 0.0


@njit
def fill_frames(cell, spacing, normal, flatness, spread, smallest, frames):
    """frames[k] = spread spacing (I - flatness n n^T) of the point's cell; spread smallest I without a cell."""
    for k in range(len(cell)):
        c = cell[k]
        s, flat = (spread * spacing[c], flatness[c]) if c >= 0 else (spread * smallest, 0.0)
        for i in range(3):
            for j in range(3):
                frames[k, i, j] = (s if i == j else 0.0) - (s * flat * normal[c, i] * normal[c, j] if c >= 0 else 0.0)
