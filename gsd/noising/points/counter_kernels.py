"""Numba kernels of gsd.noising.points.counter, which has their torch twins."""

import numpy as np

from gsd.backend.jit import njit

_BLOCK = 512  # values per pass, so that the buffers stay in the first-level cache


@njit
def fill_normal(key, ids, out):
    """out[i, c] = the normal value of (key, ids[i], c); see gsd.noising.points.counter."""
    low, high = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.uint32)
    tail, sign, normal = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    for first in range(0, len(ids), _BLOCK):
        n = min(_BLOCK, len(ids) - first)
        _mix_points(key, ids[first : first + n], low, high)
        for c in range(out.shape[1]):
            _mix_values(c, low[:n], high[:n], tail[:n], sign[:n])
            _transform(tail[:n], sign[:n], normal[:n])
            for i in range(n):
                out[first + i, c] = normal[i]


@njit
def _mix_points(key, ids, low, high):
    """64 random bits per point as two halves, by `mix64`."""
    for i in range(len(ids)):
        x = mix64(key, ids[i])
        low[i], high[i] = np.uint32(x), np.uint32(x >> np.uint64(32))


@njit
def mix64(key, i):
    """64 random bits for an id by splitmix64's finaliser, as gsd.noising.points.counter.hashed makes them."""
    x = np.uint64(i + 1) * np.uint64(0x9E3779B97F4A7C15) + key
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit
def _mix_values(channel, low, high, tail, sign):
    """A tail probability in (0, 1) and a sign times sqrt(2), by two rounds of a 32-bit finaliser, which vectorises."""
    shift = np.uint32(channel * np.uint32(0x9E3779B9))
    for k in range(low.size):
        x = _mix32(np.uint32(_mix32(np.uint32(low[k] + shift)) ^ high[k]))
        tail[k] = (np.float32(np.int32(x >> np.uint32(1))) + np.float32(0.5)) * np.float32(2.0**-31)
        sign[k] = np.float32(1.41421356) - np.float32(2.82842712) * np.float32(np.int32(x & np.uint32(1)))


@njit
def _mix32(x):
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))  # without the casts numba widens to 64 bits
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit
def _transform(tail, sign, out):
    """Quantile function of the normal distribution (Giles 2010, single precision), branch-free so that it vectorises.

    With p = tail and x = 1 - p: n = sqrt(2) erfinv(x) = sqrt(2) x poly(w), w = -ln(p (2 - p)). Working in p keeps the
    tails exact: |n| reaches 6.3. The logarithm splits y by its bits: ln y = e ln 2 + ln m, m in [2/3, 4/3).
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
