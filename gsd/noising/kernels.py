"""Numba kernels of the noising methods. Each has a torch twin beside its caller."""

import numpy as np

from gsd.jit import njit

_BLOCK = 512  # values made at a time: their buffers stay in the first-level cache


@njit
def fill_normal(key, ids, out):
    """out[i, c] = the normal value of (key, ids[i], c); see gsd.noising.counter."""
    channels = out.shape[1]
    flat = out.reshape(-1)
    block = max(_BLOCK // channels, 1)  # points at a time
    low, high = np.empty(block * channels, np.uint32), np.empty(block * channels, np.uint32)
    tail, sign = np.empty(block * channels, np.float32), np.empty(block * channels, np.float32)
    for first in range(0, len(ids), block):
        points = min(block, len(ids) - first)
        n = points * channels
        _mix_points(key, ids[first : first + points], channels, low, high)
        _mix_values(low[:n], high[:n], tail[:n], sign[:n])
        _transform(tail[:n], sign[:n], flat[first * channels : first * channels + n])


@njit
def _mix_points(key, ids, channels, low, high):
    """64 bits a point by splitmix64's finaliser; the channel is added to the lower half."""
    k = 0
    for i in range(len(ids)):
        x = np.uint64(ids[i] + 1) * np.uint64(0x9E3779B97F4A7C15) + key
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
        lower, upper = np.uint32(x), np.uint32(x >> np.uint64(32))
        for c in range(channels):
            low[k] = np.uint32(lower + c * np.uint32(0x9E3779B9))
            high[k] = upper
            k += 1


@njit
def _mix_values(low, high, tail, sign):
    """Two rounds of a 32-bit finaliser, which vectorises, to a tail probability in (0, 1) and a sign times sqrt(2)."""
    for k in range(low.size):
        x = _mix32(np.uint32(_mix32(low[k]) ^ high[k]))
        tail[k] = (np.float32(np.int32(x >> np.uint32(1))) + np.float32(0.5)) * np.float32(2.0**-31)
        sign[k] = np.float32(1.41421356) - np.float32(2.82842712) * np.float32(np.int32(x & np.uint32(1)))


@njit
def _mix32(x):
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))  # numba widens what is not cast back
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit
def _transform(tail, sign, out):
    """Inverse of the normal distribution (Giles 2010, single precision), branch-free so that it vectorises.

    With p = tail and x = 1 - p: n = sqrt(2) erfinv(x) = sqrt(2) x poly(w), w = -ln(p (2 - p)). Working in p keeps the
    tails exact: |n| reaches 6.3. The logarithm is taken apart by its bits: ln y = e ln 2 + ln m, m in [2/3, 4/3).
    """
    y = tail * (np.float32(2.0) - tail)
    bits = y.view(np.int32)
    whole = (bits - np.int32(0x3F2AAAAB)) & np.int32(-0x800000)
    mantissa = (bits - whole).view(np.float32)
    for k in range(out.size):
        f = mantissa[k] - np.float32(1.0)
        ln = np.float32(-0.130310059)
        ln = ln * f + np.float32(0.140869141)
        ln = ln * f + np.float32(-0.121483445)
        ln = ln * f + np.float32(0.139814854)
        ln = ln * f + np.float32(-0.166846141)
        ln = ln * f + np.float32(0.200120345)
        ln = ln * f + np.float32(-0.249996200)
        ln = ln * f + np.float32(0.333331972)
        ln = ln * f + np.float32(-0.5)
        ln = ln * f * f + f
        w = np.float32(whole[k]) * np.float32(-8.26295832e-08) - ln  # ln 2 / 2^23
        c = w - np.float32(2.5)
        near = np.float32(2.81022636e-08)
        near = near * c + np.float32(3.43273939e-07)
        near = near * c + np.float32(-3.5233877e-06)
        near = near * c + np.float32(-4.39150654e-06)
        near = near * c + np.float32(0.00021858087)
        near = near * c + np.float32(-0.00125372503)
        near = near * c + np.float32(-0.00417768164)
        near = near * c + np.float32(0.246640727)
        near = near * c + np.float32(1.50140941)
        t = np.sqrt(w) - np.float32(3.0)
        far = np.float32(-0.000200214257)
        far = far * t + np.float32(0.000100950558)
        far = far * t + np.float32(0.00134934322)
        far = far * t + np.float32(-0.00367342844)
        far = far * t + np.float32(0.00573950773)
        far = far * t + np.float32(-0.0076224613)
        far = far * t + np.float32(0.00943887047)
        far = far * t + np.float32(1.00167406)
        far = far * t + np.float32(2.83297682)
        out[k] = sign[k] * (np.float32(1.0) - tail[k]) * (near if w < np.float32(5.0) else far)


@njit
def fill_sub_values(parents, children):
    """children[k, s] += parents[k] / sqrt(N) - mean_s children[k, s], in place."""
    count, upsample, channels = children.shape
    share = np.float32(1.0 / upsample)
    root = np.float32(1.0 / np.sqrt(upsample))
    for k in range(count):
        for c in range(channels):
            total = np.float32(0.0)
            for s in range(upsample):
                total += children[k, s, c]
            shift = parents[k, c] * root - total * share
            for s in range(upsample):
                children[k, s, c] += shift


@njit
def land(points, viewmats, Ks, width, height, near, accepts, depth, tolerance, out):
    """out[v, m] = flat index of the pixel of view v in which point m lands, -1 where it is not seen.

    accepts [V, H * W], depth [V, H * W] and tolerance as in gsd.noising.splat.land; an empty depth hides nothing.
    """
    z = np.empty(len(points), np.float32)
    for v in range(len(viewmats)):
        _project(points, viewmats[v], Ks[v], width, height, near, z, out[v])
        for m in range(len(points)):
            p = out[v, m]
            if p >= 0 and not (accepts[v, p] and (depth.size == 0 or abs(z[m] - depth[v, p]) < tolerance)):
                out[v, m] = -1


@njit
def _project(points, E, K, width, height, near, z, pixel):
    """Camera z of every point and the pixel it projects into, -1 outside; branch-free, so that it vectorises."""
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    e00, e01, e02, e03 = E[0, 0], E[0, 1], E[0, 2], E[0, 3]
    e10, e11, e12, e13 = E[1, 0], E[1, 1], E[1, 2], E[1, 3]
    e20, e21, e22, e23 = E[2, 0], E[2, 1], E[2, 2], E[2, 3]
    fw, fh = np.float32(width), np.float32(height)
    for m in range(len(points)):
        px, py, pz = points[m, 0], points[m, 1], points[m, 2]
        depth = e20 * px + e21 * py + e22 * pz + e23
        inverse = np.float32(1.0) / depth
        x = fx * (e00 * px + e01 * py + e02 * pz + e03) * inverse + cx
        y = fy * (e10 * px + e11 * py + e12 * pz + e13) * inverse + cy
        seen = (depth > near) & (x >= 0) & (x < fw) & (y >= 0) & (y < fh)
        column = np.int32(x if seen else np.float32(0.0))
        row = np.int32(y if seen else np.float32(0.0))
        z[m] = depth
        pixel[m] = row * np.int32(width) + column if seen else np.int32(-1)


@njit
def accumulate(values, pixel, total, count):
    """total[v, p] += values[m], count[v, p] += 1 for every point m that lands in pixel p of view v."""
    channels = values.shape[1]
    for v in range(len(pixel)):
        for m in range(len(values)):
            p = pixel[v, m]
            if p >= 0:
                count[v, p] += np.float32(1.0)
                for c in range(channels):
                    total[v, p, c] += values[m, c]
