"""Numba kernel of the consistency loss; its torch twin is gsd.loss.consistency.compare_torch."""

import numpy as np

from gsd.backend.jit import njit


@njit
def compare(maps, depth, alpha, i, j, rays, shifts, near, tolerance, vanishing, bilinear, grad):
    """The sum of o (1 - cos) over the pixels of every pair; grad[i[p]] gets its derivative by the depth of a pixel.

    maps [V, h + 2, w + 2, C], channels last in a frame of zeros; depth, alpha and grad [V, H, W]. rays [P, 3, 3] =
    K_j R_ij K_i^-1 and shifts [P, 3] = K_j t_ij carry a pixel with its depth into the other view (eq. 11). The
    derivative of the sampled values is always bilinear's.
    """
    _, h, w, channels = maps.shape
    _, height, width = depth.shape
    sx, sy = np.float32((w - 2) / width), np.float32((h - 2) / height)  # pixels of a map in one of the depth
    total = 0.0
    for p in range(len(i)):
        mine, theirs, M, t = maps[i[p]], maps[j[p]], rays[p], shifts[p]
        for row in range(height):
            for col in range(width):
                if alpha[i[p], row, col] <= 0.5:
                    continue
                px, py, d = np.float32(col + 0.5), np.float32(row + 0.5), depth[i[p], row, col]
                rx = M[0, 0] * px + M[0, 1] * py + M[0, 2]
                ry = M[1, 0] * px + M[1, 1] * py + M[1, 2]
                rz = M[2, 0] * px + M[2, 1] * py + M[2, 2]
                z = rz * d + t[2]
                if not z > near:
                    continue
                x, y = (rx * d + t[0]) / z, (ry * d + t[1]) / z
                if not (0 <= x < width and 0 <= y < height):
                    continue
                if alpha[j[p], int(y), int(x)] <= 0.5 or not abs(z - depth[j[p], int(y), int(x)]) < tolerance:
                    continue
                dx, dy = sx * (rx - x * rz) / z, sy * (ry - y * rz) / z  # of the coordinates by the depth
                nx, ny, left, top, fx, fy = _place(x * sx, y * sy)
                own_nx, own_ny, own_left, own_top, own_fx, own_fy = _place(px * sx, py * sy)
                aa, bb, ab = np.float32(0), np.float32(0), np.float32(0)
                slope_a, slope_b = np.float32(0), np.float32(0)  # of the values along the ray, times mine and theirs
                for c in range(channels):
                    b, bx, by = _bilinear(theirs, left, top, c, fx, fy)
                    if bilinear:
                        a = _bilinear(mine, own_left, own_top, c, own_fx, own_fy)[0]
                    else:
                        a, b = mine[own_ny, own_nx, c], theirs[ny, nx, c]
                    slope = bx * dx + by * dy
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
                    grad[i[p], row, col] -= slope_a / np.sqrt(product) - cosine * slope_b / bb
    return total


@njit
def _place(x, y):
    """In a framed map: the pixel that contains (x, y), the one left above whose centre is next, and the way from it."""
    right, down = x + np.float32(0.5), y + np.float32(0.5)
    left, top = int(right), int(down)
    return int(x) + 1, int(y) + 1, left, top, right - np.float32(left), down - np.float32(top)


@njit
def _bilinear(framed, left, top, c, fx, fy):
    """The value and its derivatives by x and y."""
    v00, v10 = framed[top, left, c], framed[top, left + 1, c]
    v01, v11 = framed[top + 1, left, c], framed[top + 1, left + 1, c]
    upper, lower = v00 + fx * (v10 - v00), v01 + fx * (v11 - v01)
    return upper + fy * (lower - upper), (np.float32(1) - fy) * (v10 - v00) + fy * (v11 - v01), lower - upper
