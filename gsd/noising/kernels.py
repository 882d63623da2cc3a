"""Numba kernels of the noising methods. Each has a torch twin beside its caller."""

import numpy as np

from gsd.jit import njit

_BLOCK = 512  # values made at a time: their buffers stay in the first-level cache


@njit
def fill_normal(key, ids, out):
    """out[i, c] = the normal value of (key, ids[i], c); see gsd.noising.counter."""
    channels = out.shape[1]
    flat = out.reshape(-1)
    tail = np.empty(_BLOCK, np.float32)
    sign = np.empty(_BLOCK, np.float32)
    done = 0
    while done < flat.size:
        n = min(_BLOCK, flat.size - done)
        _mix_block(key, ids, channels, done, n, tail, sign)
        _transform(tail[:n], sign[:n], flat[done : done + n])
        done += n


@njit
def _mix_block(key, ids, channels, start, n, tail, sign):
    """Two-sided tail probability in (0, 1) and sign of n values from the start-th on."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    i = start // channels
    c = start - i * channels
    point = _mix(np.uint64(ids[i]) * golden + key)
    for k in range(n):
        if c == channels:
            c = 0
            i += 1
            point = _mix(np.uint64(ids[i]) * golden + key)
        c += 1
        bits = _mix(point + np.uint64(c) * golden)
        tail[k] = (np.float32(np.int32(bits >> np.uint64(33))) + np.float32(0.5)) * np.float32(2.0**-31)
        sign[k] = np.float32(1.41421356) - np.float32(2.82842712) * np.float32(np.int32(bits & np.uint64(1)))


@njit
def _mix(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


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
def land(points, viewmats, Ks, width, height, near, depth, tolerance, out):
    """out[v, m] = flat index of the pixel of view v in which point m lands, -1 where it is not seen.

    depth [V, H * W] and tolerance as in gsd.noising.splat.land; an empty depth means that nothing hides.
    """
    fw, fh = np.float32(width), np.float32(height)
    for v in range(len(viewmats)):
        E, K = viewmats[v], Ks[v]
        fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
        for m in range(len(points)):
            px, py, pz = points[m, 0], points[m, 1], points[m, 2]
            z = E[2, 0] * px + E[2, 1] * py + E[2, 2] * pz + E[2, 3]
            out[v, m] = -1
            if z > near:
                inverse = np.float32(1.0) / z
                x = fx * (E[0, 0] * px + E[0, 1] * py + E[0, 2] * pz + E[0, 3]) * inverse + cx
                y = fy * (E[1, 0] * px + E[1, 1] * py + E[1, 2] * pz + E[1, 3]) * inverse + cy
                if (x >= 0) and (x < fw) and (y >= 0) and (y < fh):
                    pixel = np.int64(y) * width + np.int64(x)
                    if depth.size == 0 or abs(z - depth[v, pixel]) < tolerance:
                        out[v, m] = pixel


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
