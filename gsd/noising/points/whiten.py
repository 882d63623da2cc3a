"""Loewdin splat noise: overlapping pixels are made independent, with the smallest possible change to each.

With B the weights of the values in the pixels, its rows of unit length, G = B B^T, independent N(0, 1) m and z, and a
diagonal R >= 0, the map is
    n = (G + R)^(-1/2) (B m + R^(1/2) z),
whose covariance is I for any geometry. With R = 0 it is, among all linear maps of covariance I, the nearest to B m
(Loewdin 1950, symmetric orthogonalisation), so it keeps most of what views share. R bounds the condition number, and
adds as much that is fresh. Pixels that no value reaches are z itself. The inverse root is a Chebyshev polynomial of the
nine-point stencil G.

The tent's R is one number, the ridge. The trapezoid's is 0, but where a pixel's products with its neighbours sum to
more than 1 - LEAST it is the rest: by Gershgorin's circles no eigenvalue of G + R is then below LEAST. Trapezoids
seldom overlap by as much, and so need little that is fresh and few terms. On the scenes of default runs, at 5 degrees:
boxes share .65, trapezoids .75 with 10 terms, tents with a ridge of .01 .78 with 65.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, NamedTuple

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from gsd.backend.device import compiled
from gsd.backend.triton import launch, on_triton
from gsd.noising.points import paint_kernels
from gsd.noising.points.counter import normal
from gsd.random import Stream

# Below, the polynomial gets long and float32 is not enough
Ridge = Annotated[float, Interval(ge=1e-4, le=10)]
LEAST = 0.4  # eigenvalue of G + R, where R is not one number
_ERROR = 1e-4  # largest |lambda p(lambda)^2 - 1| in the spectrum, and so the error of the covariance
_STEP = 0.25  # the bound on the spectrum is rounded up to multiples of this, so that few polynomials are made
_MOST = 4.0  # bound on the eigenvalues of G, since a sub-point touches four pixels
STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))  # (y, x) to the neighbours after a pixel; those before have it as theirs
Root = tuple[np.ndarray, float, float]  # coefficients, and the map scale lambda - shift of the spectrum to [-1, 1]
_AROUND = 5.0  # and on a row's sum without the diagonal: 9 unit rows are 6 long together, by _MOST


def whiten(
    total: Float[Tensor, "V P C"],
    gram: Float[Tensor, "V P 5"],
    shape: tuple[int, int, int, int],
    ridge: float | None,
    rng: Stream,
) -> Float[Tensor, "V C h w"]:
    """The maps n from the sums of weighted values and the products of weights that canvas.Canvas collects.

    ridge: all of R; None: as little as LEAST takes.
    """
    law = Law(0.0, 1 - LEAST, LEAST, _MOST + _AROUND + LEAST - 1)
    if ridge is not None:
        law = Law(ridge, math.inf, ridge, _MOST + ridge)
    z = normal(rng.key(), torch.arange(shape[0] * total.shape[1], device=total.device), shape[1])
    z = z.to(total.dtype).view_as(total)
    if compiled(total):
        return _whiten_compiled(total, gram, z, shape, law)
    planes = _planes(gram.unflatten(1, shape[2:]))
    start, diagonal = _begin(total, gram, z, planes, law)
    by = _whiten_triton if on_triton(total) else whiten_torch
    return by(start, diagonal, planes, inverse_root(law.least, law.most))


class Law(NamedTuple):
    """R is max(ridge, a - slack), a the sum of a pixel's products with its neighbours; G + R has its spectrum within
    [least, most]."""

    ridge: float
    slack: float
    least: float
    most: float


def _whiten_compiled(
    total: Float[Tensor, "V P C"],
    gram: Float[Tensor, "V P 5"],
    z: Float[Tensor, "V P C"],
    shape: tuple[int, int, int, int],
    law: Law,
) -> Float[Tensor, "V C h w"]:
    """A polynomial for each view's own bound on the spectrum, in the frame of the pixels that overlap with others."""
    views, channels, height, width = shape
    planes, diagonal = np.empty((4, height + 2, width + 2), np.float32), np.zeros((height + 2, width + 2), np.float32)
    start, out = np.zeros((channels, height + 2, width + 2), np.float32), torch.empty(shape)
    ridge, slack = np.float32(law.ridge), np.float32(law.slack)
    for v in range(views):
        products, maps = gram[v].numpy(), out[v].numpy()
        paint_kernels.stencil(products, width, height, planes)
        bound, top, bottom, left, right = paint_kernels.begin(
            total[v].numpy(), products, z[v].numpy(), ridge, slack, planes, start, diagonal, maps
        )
        if bottom:
            polynomial, scale, shift = inverse_root(law.least, _STEP * (1 + bound // _STEP))
            frame = (..., slice(top - 1, bottom + 2), slice(left - 1, right + 2))
            given = [np.ascontiguousarray(array[frame]) for array in (diagonal, planes, start)]
            found = np.zeros_like(given[2])
            numbers = polynomial, np.float32(scale), np.float32(shift)
            paint_kernels.chebyshev(given[0], given[1], *numbers, given[2], found)
            maps[:, top - 1 : bottom, left - 1 : right] = found[:, 1:-1, 1:-1]
    return out


def _begin(
    total: Float[Tensor, "V P C"],
    gram: Float[Tensor, "V P 5"],
    z: Float[Tensor, "V P C"],
    planes: Float[Tensor, "V 4 h w"],
    law: Law,
) -> tuple[Float[Tensor, "V C h w"], Float[Tensor, "V h w"]]:
    """B m + R^(1/2) z, and the diagonal of G + R; the twin of paint_kernels.begin."""
    beside = [p + _moved(p, -dy, -dx) for p, (dy, dx) in zip(planes.unbind(1), STEPS, strict=True)]
    squared, size = gram[..., 0], planes.shape[2:]
    shown = squared > 0
    own = (torch.stack(beside).sum(0).flatten(1) - law.slack).clamp_min(law.ridge)
    own = torch.where(shown, own, 1.0)
    scale = torch.where(shown, squared.clamp_min(1e-30).rsqrt(), 0.0)
    start = scale[..., None] * total + own.sqrt()[..., None] * z
    return start.transpose(1, 2).unflatten(2, size).contiguous(), (shown + own).unflatten(1, size)


def whiten_torch(
    start: Float[Tensor, "V C h w"], diagonal: Float[Tensor, "V h w"], planes: Float[Tensor, "V 4 h w"], root: Root
) -> Float[Tensor, "V C h w"]:
    """The torch twin: shifted tensors, and one polynomial for all views."""
    polynomial, scale, shift = root

    def multiply(t: Tensor) -> Tensor:
        g = diagonal[:, None] * t
        for plane, (dy, dx) in zip(planes.unbind(1), STEPS, strict=True):
            g = g + plane[:, None] * _moved(t, dy, dx) + _moved(plane[:, None] * t, -dy, -dx)
        return scale * g - shift * t

    before, now = start, multiply(start)
    out = polynomial[0] * before + polynomial[1] * now
    for c in polynomial[2:]:
        before, now = now, 2 * multiply(now) - before
        out = out + c * now
    return out


def _whiten_triton(
    start: Float[Tensor, "V C h w"], diagonal: Float[Tensor, "V h w"], planes: Float[Tensor, "V 4 h w"], root: Root
) -> Float[Tensor, "V C h w"]:
    """One kernel per step of the recurrence."""
    from gsd.noising.points.paint_triton import chebyshev_step

    _, channels, height, width = start.shape
    polynomial, scale, shift = root
    now, before, out = start.clone(), torch.zeros_like(start), polynomial[0] * start
    for k, coefficient in enumerate(polynomial[1:], 1):
        factor, previous = (1.0, 0.0) if k == 1 else (2.0, 1.0)
        launch(
            chebyshev_step, start.numel(), diagonal, planes, now, before, out, scale, shift, factor,
            previous, float(coefficient), start.numel(), width, height, channels,
        )  # fmt: skip
        now, before = before, now
    return out


def _planes(gram: Float[Tensor, "V h w 5"]) -> Float[Tensor, "V 4 h w"]:
    """Products of the unit rows of a pixel and of its neighbours at STEPS."""
    inverse = torch.where(gram[..., 0] > 0, gram[..., 0].clamp_min(1e-30).rsqrt(), 0.0)
    return torch.stack([gram[..., i + 1] * inverse * _moved(inverse, dy, dx) for i, (dy, dx) in enumerate(STEPS)], 1)


def _moved(t: Float[Tensor, "*n h w"], dy: int, dx: int) -> Float[Tensor, "*n h w"]:
    """t at (y + dy, x + dx), 0 outside."""
    height, width = t.shape[-2:]
    padded = pad(t, (1, 1, 1, 1))
    return padded[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


@lru_cache(maxsize=64)
def inverse_root(least: float, most: float) -> Root:
    """The shortest Chebyshev series p with |lambda p(lambda)^2 - 1| < _ERROR on [least, most]."""
    scale, shift = 2 / (most - least), (most + least) / (most - least)
    series = np.polynomial.Chebyshev.interpolate(lambda x: ((x + shift) / scale) ** -0.5, 1000).coef
    angle = np.linspace(0, np.pi, 4001)
    eigenvalue, value, degree = (np.cos(angle) + shift) / scale, np.full_like(angle, series[0]), 0
    while degree == 0 or np.abs(eigenvalue * value**2 - 1).max() >= _ERROR:
        degree += 1
        value += series[degree] * np.cos(degree * angle)
    return series[: degree + 1], scale, shift
