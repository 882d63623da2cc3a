"""Triton kernels of the small networks: all layers of a block of samples in one launch, with nothing kept in memory.

Networks have one or two hidden layers. Their weights are `w1` [H, IN], `w2` [H, H] where there are two hidden layers,
and `w3` [OUT, H]. IP, HP and OP are IN, H and OUT, raised to what matrix units take. Gradients of weights are sums over
a program's blocks, those of the three one after the other in one row of `sums` per program, which the caller adds up,
in the same order every time.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _matrix(weights, rows, columns, R: tl.constexpr, C: tl.constexpr):
    r, c = tl.arange(0, R)[:, None], tl.arange(0, C)[None, :]
    return tl.load(weights + r * columns + c, (r < rows) & (c < columns), 0.0)


@triton.jit
def _put_matrix(target, value, rows, columns, R: tl.constexpr, C: tl.constexpr):
    r, c = tl.arange(0, R)[:, None], tl.arange(0, C)[None, :]
    tl.store(target + r * columns + c, value, (r < rows) & (c < columns))


@triton.jit
def _planes(x, m, M, rows, R: tl.constexpr):
    """Of planes x [rows, M], the samples m."""
    r = tl.arange(0, R)[:, None].to(tl.int64)
    return tl.load(x + r * M + m[None, :], (r < rows) & (m[None, :] < M), 0.0)


@triton.jit
def _put_planes(target, value, m, M, rows, R: tl.constexpr):
    r = tl.arange(0, R)[:, None].to(tl.int64)
    tl.store(target + r * M + m[None, :], value, (r < rows) & (m[None, :] < M))


@triton.jit
def _dot(a, b):
    return tl.dot(a, b, input_precision="tf32x3")  # as exact as float32, on the units for tf32


@triton.jit
def _pull(weights, H, HP: tl.constexpr):
    """The row of the first output in the last matrix, as a column."""
    h = tl.arange(0, HP)
    return tl.load(weights + h, h < H, 0.0)[:, None]


@triton.jit
def forward(
    x, w1, w2, w3, out, M, IN: tl.constexpr, H: tl.constexpr, OUT: tl.constexpr,
    IP: tl.constexpr, HP: tl.constexpr, OP: tl.constexpr, LAYERS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """out [OUT, M] of x [IN, M]."""
    m = tl.program_id(0) * B + tl.arange(0, B)
    held = tl.maximum(_dot(_matrix(w1, H, IN, HP, IP), _planes(x, m, M, IN, IP)), 0.0)
    if LAYERS == 2:
        held = tl.maximum(_dot(_matrix(w2, H, H, HP, HP), held), 0.0)
    _put_planes(out, _dot(_matrix(w3, OUT, H, OP, HP), held), m, M, OUT, OP)


@triton.jit
def backward(
    x, w1, w2, w3, g_out, g_x, sums, M, IN: tl.constexpr, H: tl.constexpr, OUT: tl.constexpr,
    IP: tl.constexpr, HP: tl.constexpr, OP: tl.constexpr, LAYERS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """g_x [IN, M] and the sums of the weights' gradients, from g_out [OUT, M]."""
    last_at = H * IN + (LAYERS - 1) * H * H
    first, last = _matrix(w1, H, IN, HP, IP), _matrix(w3, OUT, H, OP, HP)
    second = _matrix(w2, H * (LAYERS - 1), H, HP, HP)
    g_first, g_last = tl.zeros((HP, IP), tl.float32), tl.zeros((OP, HP), tl.float32)
    g_second = tl.zeros((HP, HP), tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(M, B), tl.num_programs(0)):
        m = block * B + tl.arange(0, B)
        inputs, g = _planes(x, m, M, IN, IP), _planes(g_out, m, M, OUT, OP)
        one = tl.maximum(_dot(first, inputs), 0.0)
        if LAYERS == 2:
            two = tl.maximum(_dot(second, one), 0.0)
            g_last += _dot(g, tl.trans(two))
            g = tl.where(two > 0, _dot(tl.trans(last), g), 0.0)
            g_second += _dot(g, tl.trans(one))
            g = tl.where(one > 0, _dot(tl.trans(second), g), 0.0)
        else:
            g_last += _dot(g, tl.trans(one))
            g = tl.where(one > 0, _dot(tl.trans(last), g), 0.0)
        g_first += _dot(g, tl.trans(inputs))
        _put_planes(g_x, _dot(tl.trans(first), g), m, M, IN, IP)
    mine = sums + tl.program_id(0) * (last_at + OUT * H)
    _put_matrix(mine, g_first, H, IN, HP, IP)
    _put_matrix(mine + H * IN, g_second, H * (LAYERS - 1), H, HP, HP)
    _put_matrix(mine + last_at, g_last, OUT, H, OP, HP)


@triton.jit
def slope(
    x, w1, w2, w3, out, M, IN: tl.constexpr, H: tl.constexpr, OUT: tl.constexpr,
    IP: tl.constexpr, HP: tl.constexpr, OP: tl.constexpr, LAYERS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """out [IN, M], the derivative of the first output by x [IN, M]."""
    m = tl.program_id(0) * B + tl.arange(0, B)
    first = _matrix(w1, H, IN, HP, IP)
    one = _dot(first, _planes(x, m, M, IN, IP))
    pull = _pull(w3, H, HP)
    if LAYERS == 2:
        second = _matrix(w2, H, H, HP, HP)
        two = _dot(second, tl.maximum(one, 0.0))
        pull = _dot(tl.trans(second), tl.where(two > 0, pull, 0.0))
    _put_planes(out, _dot(tl.trans(first), tl.where(one > 0, pull, 0.0)), m, M, IN, IP)


@triton.jit
def slope_backward(
    x, w1, w2, w3, g_out, sums, M, IN: tl.constexpr, H: tl.constexpr, OUT: tl.constexpr,
    IP: tl.constexpr, HP: tl.constexpr, OP: tl.constexpr, LAYERS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """The sums of the weights' gradients, from g_out [IN, M]; the last matrix has one in its first row."""
    last_at = H * IN + (LAYERS - 1) * H * H
    first, second = _matrix(w1, H, IN, HP, IP), _matrix(w2, H * (LAYERS - 1), H, HP, HP)
    last = _pull(w3, H, HP)
    g_first, g_second = tl.zeros((HP, IP), tl.float32), tl.zeros((HP, HP), tl.float32)
    g_last = tl.zeros((HP,), tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(M, B), tl.num_programs(0)):
        m = block * B + tl.arange(0, B)
        push = _planes(g_out, m, M, IN, IP)
        one = _dot(first, _planes(x, m, M, IN, IP))
        along = tl.where(one > 0, _dot(first, push), 0.0)
        if LAYERS == 2:
            two = _dot(second, tl.maximum(one, 0.0))
            pull = tl.where(two > 0, last, 0.0)
            g_second += _dot(pull, tl.trans(along))
            g_last += tl.sum(tl.where(two > 0, _dot(second, along), 0.0), 1)
            pull = tl.where(one > 0, _dot(tl.trans(second), pull), 0.0)
        else:
            pull = tl.where(one > 0, last, 0.0)
            g_last += tl.sum(along, 1)
        g_first += _dot(pull, tl.trans(push))
    mine, h, o = sums + tl.program_id(0) * (last_at + OUT * H), tl.arange(0, HP)[None, :], tl.arange(0, OP)[:, None]
    _put_matrix(mine, g_first, H, IN, HP, IP)
    _put_matrix(mine + H * IN, g_second, H * (LAYERS - 1), H, HP, HP)
    tl.store(mine + last_at + o * H + h, tl.where(o == 0, g_last[None, :], 0.0), (o < OUT) & (h < H))
