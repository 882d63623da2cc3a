"""Numba kernel of the consistency loss; its torch twin is gsd.loss.consistency.compare."""

import numpy as np

from gsd.jit import njit


@njit
def compare(maps, depth, alpha, i, j, rays, shifts, width, height, near, tolerance, vanishing, bilinear, grad):
    """The sum of o (1 - cos) over the pixels of every pair; grad[i[p]] gets its derivative by the depth of a pixel.

    maps [V, C, hw], depth and alpha [V, hw]; rays [P, 3, 3] = K_j R_ij K_i^-1 and shifts [P, 3] = K_j t_ij carry a
    pixel with its depth into the other view (eq. 11). The derivative of the sampled values is always bilinear's.
    """
    channels = maps.shape[1]
    total = 0.0
    for p in range(len(i)):
        mine, theirs, M, t = maps[i[p]], maps[j[p]], rays[p], shifts[p]
        for k in range(width * height):
            if alpha[i[p], k] <= 0.5:
                continue
            row = k // width
            px, py, d = np.float32(k - row * width + 0.5), np.float32(row + 0.5), depth[i[p], k]
            rx = M[0, 0] * px + M[0, 1] * py + M[0, 2]
            ry = M[1, 0] * px + M[1, 1] * py + M[1, 2]
            rz = M[2, 0] * px + M[2, 1] * py + M[2, 2]
            z = rz * d + t[2]
            if not z > near:
                continue
            x, y = (rx * d + t[0]) / z, (ry * d + t[1]) / z
            if not (0 <= x < width and 0 <= y < height):
                continue
            there = int(y) * width + int(x)
            if alpha[j[p], there] <= 0.5 or not abs(z - depth[j[p], there]) < tolerance:
                continue
            left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
            fx, fy = x - np.float32(0.5) - left, y - np.float32(0.5) - top
            aa, bb, ab = np.float32(0), np.float32(0), np.float32(0)
            slope_a, slope_b = np.float32(0), np.float32(0)  # of the values along the ray, times mine and theirs
            dx, dy = (rx - x * rz) / z, (ry - y * rz) / z  # of the coordinates by the depth
            for c in range(channels):
                v00, v10 = _at(theirs[c], left, top, width, height), _at(theirs[c], left + 1, top, width, height)
                v01, v11 = (
                    _at(theirs[c], left, top + 1, width, height),
                    _at(theirs[c], left + 1, top + 1, width, height),
                )
                upper, lower = v00 + fx * (v10 - v00), v01 + fx * (v11 - v01)
                slope = ((1 - fy) * (v10 - v00) + fy * (v11 - v01)) * dx + (lower - upper) * dy
                a = mine[c, k]
                b = upper + fy * (lower - upper) if bilinear else theirs[c, there]
                aa += a * a
                bb += b * b
                ab += a * b
                slope_a += slope * a
                slope_b += slope * b
            total += 1.0
            product = aa * bb
            if product > vanishing:
                cosine = ab / np.sqrt(product)
                total -= cosine
                grad[i[p], k] -= slope_a / np.sqrt(product) - cosine * slope_b / bb
    return total


@njit
def _at(plane, x, y, width, height):
    """The value of a pixel, 0 outside."""
    if 0 <= x < width and 0 <= y < height:
        return plane[y * width + x]
    return np.float32(0)
