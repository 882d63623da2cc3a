"""Numba kernels of the field. Their torch twins: hashgrid.encode_torch, march.march_torch, composite.*_torch.

A task works on one level of the grid, or on all rays, in the order of the samples: sums do not depend on threads.
"""

import numpy as np

from gsd.backend.jit import njit

F = np.float32
PRIME_Y, PRIME_Z = np.uint32(2654435761), np.uint32(805459861)  # Mueller et al. 2022, eq. 4


@njit(inline="always")
def _corners(x, y, z, resolution, size, hashed):
    """Rows of the eight corners of the cell whose lowest corner is (x, y, z); x fastest, then y, then z."""
    x0, y0, z0 = np.uint32(x), np.uint32(y), np.uint32(z)
    one = np.uint32(1)
    if hashed:
        mask = np.uint32(size - 1)
        x1 = np.uint32(x0 + one)
        a0, b0 = np.uint32(y0 * PRIME_Y), np.uint32(z0 * PRIME_Z)
        a1, b1 = np.uint32(a0 + PRIME_Y), np.uint32(b0 + PRIME_Z)
        p, q, r, s = a0 ^ b0, a1 ^ b0, a0 ^ b1, a1 ^ b1
        return (
            (x0 ^ p) & mask, (x1 ^ p) & mask, (x0 ^ q) & mask, (x1 ^ q) & mask,
            (x0 ^ r) & mask, (x1 ^ r) & mask, (x0 ^ s) & mask, (x1 ^ s) & mask,
        )  # fmt: skip
    dy, dz = np.uint32(resolution), np.uint32(resolution * resolution)
    i = np.uint32(x0 + y0 * dy + z0 * dz)
    last = np.uint32(size)
    j, k, m = np.uint32(i + dy), np.uint32(i + dz), np.uint32(i + dy + dz)
    return (
        _wrap(i, last), _wrap(i + one, last), _wrap(j, last), _wrap(j + one, last),
        _wrap(k, last), _wrap(k + one, last), _wrap(m, last), _wrap(m + one, last),
    )  # fmt: skip


@njit(inline="always")
def _wrap(i, size):
    """A corner beyond the upper border of the cube is the first of the next row, as in tiny-cuda-nn."""
    return np.uint32(i - size) if i >= size else np.uint32(i)


@njit
def encode_level(xyz, table, pair, scale, resolution, hashed, weight, out, jacobian):
    """Features `pair` and `pair` + 1 of one level at M points of the unit cube, times `weight`.

    xyz [3, M]; table [size, F]; out [2, M]; jacobian [3, 2, M] gets their derivatives by xyz, or is None.
    """
    size = table.shape[0]
    one = F(1.0)
    for m in range(xyz.shape[1]):
        px, py, pz = xyz[0, m] * scale + F(0.5), xyz[1, m] * scale + F(0.5), xyz[2, m] * scale + F(0.5)
        x, y, z = int(px), int(py), int(pz)
        u, v, w = px - F(x), py - F(y), pz - F(z)
        i0, i1, i2, i3, i4, i5, i6, i7 = _corners(x, y, z, resolution, size, hashed)
        u0, v0, w0 = one - u, one - v, one - w
        for f in range(2):
            c = pair + f
            t0, t1, t2, t3 = table[i0, c], table[i1, c], table[i2, c], table[i3, c]
            t4, t5, t6, t7 = table[i4, c], table[i5, c], table[i6, c], table[i7, c]
            low0, high0 = t0 * u0 + t1 * u, t2 * u0 + t3 * u  # z below; y below, above
            low1, high1 = t4 * u0 + t5 * u, t6 * u0 + t7 * u
            out[f, m] = weight * ((low0 * v0 + high0 * v) * w0 + (low1 * v0 + high1 * v) * w)
            if jacobian is not None:
                slope = weight * scale
                along_x = ((t1 - t0) * v0 + (t3 - t2) * v) * w0 + ((t5 - t4) * v0 + (t7 - t6) * v) * w
                jacobian[0, f, m] = slope * along_x
                jacobian[1, f, m] = slope * ((high0 - low0) * w0 + (high1 - low1) * w)
                jacobian[2, f, m] = slope * ((low1 - low0) * v0 + (high1 - high0) * v)


@njit
def encode_level_backward(xyz, grad, pair, scale, resolution, hashed, weight, g_out, g_jacobian):
    """Adds to grad [size, F] what `encode_level` passes back to the table; g_jacobian may be None."""
    size = grad.shape[0]
    one = F(1.0)
    for m in range(xyz.shape[1]):
        px, py, pz = xyz[0, m] * scale + F(0.5), xyz[1, m] * scale + F(0.5), xyz[2, m] * scale + F(0.5)
        x, y, z = int(px), int(py), int(pz)
        u, v, w = px - F(x), py - F(y), pz - F(z)
        i0, i1, i2, i3, i4, i5, i6, i7 = _corners(x, y, z, resolution, size, hashed)
        u0, v0, w0 = one - u, one - v, one - w
        for f in range(2):
            c = pair + f
            g = weight * g_out[f, m]
            a, b, d, e = g * v0 * w0, g * v * w0, g * v0 * w, g * v * w  # by (y, z): 00, 10, 01, 11
            gx = F(0.0)
            if g_jacobian is not None:
                slope = weight * scale
                gx, gy, gz = slope * g_jacobian[0, f, m], slope * g_jacobian[1, f, m], slope * g_jacobian[2, f, m]
                a += -gy * w0 - gz * v0
                b += gy * w0 - gz * v
                d += -gy * w + gz * v0
                e += gy * w + gz * v
            grad[i0, c] += a * u0 - gx * v0 * w0
            grad[i1, c] += a * u + gx * v0 * w0
            grad[i2, c] += b * u0 - gx * v * w0
            grad[i3, c] += b * u + gx * v * w0
            grad[i4, c] += d * u0 - gx * v0 * w
            grad[i5, c] += d * u + gx * v0 * w
            grad[i6, c] += e * u0 - gx * v * w
            grad[i7, c] += e * u + gx * v * w


@njit
def march(origins, directions, near, far, shift, step, occupied, bound, times, counts):
    """Distances of the samples of every ray that lie in occupied cells, packed into `times`; returns how many.

    Samples are at near + (k + shift) step < far. origins and directions [R, 3]; near, far and shift [R]; occupied
    [G, G, G] (x, y, z) over the cube [-bound, bound]^3; counts [R] gets the samples of each ray.
    """
    cells = occupied.shape[0]
    scale, half = F(cells / (2 * bound)), F(cells / 2)
    total = 0
    for r in range(origins.shape[0]):
        first = total
        ox, oy, oz = origins[r, 0] * scale + half, origins[r, 1] * scale + half, origins[r, 2] * scale + half
        dx, dy, dz = directions[r, 0] * scale, directions[r, 1] * scale, directions[r, 2] * scale
        k = 0
        while True:
            t = near[r] + (F(k) + shift[r]) * step
            if not t < far[r]:
                break
            x = min(max(int(ox + t * dx), 0), cells - 1)
            y = min(max(int(oy + t * dy), 0), cells - 1)
            z = min(max(int(oz + t * dz), 0), cells - 1)
            if occupied[x, y, z]:
                times[total] = t
                total += 1
            k += 1
        counts[r] = total - first
    return total


@njit
def weights(thickness, offsets, out, remaining):
    """w_i = T_i (1 - exp(-thickness_i)) of the samples of every ray, and T_i = exp(-sum of those before) itself."""
    for r in range(len(offsets) - 1):
        passed = F(1.0)
        for i in range(offsets[r], offsets[r + 1]):
            kept = np.exp(-thickness[i])
            out[i] = passed * (F(1.0) - kept)
            remaining[i] = passed
            passed *= kept


@njit
def weights_backward(out, remaining, offsets, g_out, grad):
    """dL/d thickness_i = g_i T_{i+1} - sum of g_j w_j behind i."""
    for r in range(len(offsets) - 1):
        behind = F(0.0)
        for i in range(offsets[r + 1] - 1, offsets[r] - 1, -1):
            grad[i] = g_out[i] * (remaining[i] - out[i]) - behind
            behind += g_out[i] * out[i]


@njit
def sum_rays(values, offsets, out):
    """Sums of values [C, M] over the samples of each ray, into out [C, R]."""
    for c in range(values.shape[0]):
        for r in range(len(offsets) - 1):
            total = F(0.0)
            for i in range(offsets[r], offsets[r + 1]):
                total += values[c, i]
            out[c, r] = total
