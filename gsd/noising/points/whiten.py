"""Loewdin splat noise: overlapping pixels are made independent, with the smallest possible change to each.

With B the weights of the values in the pixels, its rows of unit length, G = B B^T, and independent N(0, I) m and z, the
map is
    n = (G + ridge I)^(-1/2) (B m + sqrt(ridge) z),
whose covariance is I for any geometry. Among all linear maps of covariance I it is the nearest to B m (Loewdin 1950,
symmetric orthogonalisation), so it keeps most of what views share. `ridge` bounds the condition number; pixels that no
value reaches are z itself. The inverse root is a Chebyshev polynomial of the nine-point stencil G.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated

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
_ERROR = 1e-3  # largest |lambda p(lambda)^2 - 1| in the spectrum, and so the error of the covariance
_STEP = 0.25  # the bound on the spectrum is rounded up to multiples of this, so that few polynomials are made
_MOST = 4.0  # bound on the eigenvalues of G, since a sub-point touches four pixels


def whiten(
    total: Float[Tensor, "V P C"],
    gram: Float[Tensor, "V P 5"],
    shape: tuple[int, int, int, int],
    ridge: float,
    rng: Stream,
) -> Float[Tensor, "V C h w"]:
    """The maps n from the sums of weighted values and the products of weights that canvas.Canvas collects."""
    views, channels, height, width = shape
    z = normal(rng.key(), torch.arange(views * height * width, device=total.device), channels).to(total.dtype)
    length = gram[..., :1].sqrt()
    start = torch.where(length > 0, total / length.clamp_min(1e-20), 0.0) + ridge**0.5 * z.view_as(total)
    start = start.transpose(1, 2).unflatten(2, (height, width))
    diagonal = ((length > 0).to(total.dtype) + ridge).view(views, height, width)
    if on_triton(total):
        return _whiten_triton(start.contiguous(), diagonal, gram, ridge)
    if not compiled(total):
        return whiten_torch(start, diagonal, gram, ridge)
    out = np.zeros((views, channels, height + 2, width + 2), np.float32)
    rim = (1, 1, 1, 1)
    starts, diagonals = pad(start, rim).numpy(), pad(diagonal, rim).numpy()
    planes = np.empty((4, height + 2, width + 2), np.float32)
    for v in range(views):
        bound = paint_kernels.stencil(gram[v].numpy(), width, height, planes)
        polynomial, scale, shift = inverse_root(ridge, _rounded(float(bound)))
        paint_kernels.chebyshev(
            diagonals[v], planes, polynomial, np.float32(scale), np.float32(shift), starts[v], out[v]
        )
    return torch.from_numpy(out)[:, :, 1:-1, 1:-1].contiguous()


def whiten_torch(
    start: Float[Tensor, "V C h w"], diagonal: Float[Tensor, "V h w"], gram: Float[Tensor, "V P 5"], ridge: float
) -> Float[Tensor, "V C h w"]:
    """The torch twin: shifted tensors, and one polynomial with the bound _MOST for all views."""
    height, width = start.shape[2:]
    planes = _planes(gram.unflatten(1, (height, width)))
    polynomial, scale, shift = inverse_root(ridge, _MOST)

    def multiply(t: Tensor) -> Tensor:
        g = diagonal[:, None] * t
        for plane, (dy, dx) in zip(planes, ((0, 1), (1, -1), (1, 0), (1, 1)), strict=True):
            g = g + plane[:, None] * _moved(t, dy, dx) + _moved(plane[:, None] * t, -dy, -dx)
        return scale * g - shift * t

    before, now = start, multiply(start)
    out = polynomial[0] * before + polynomial[1] * now
    for c in polynomial[2:]:
        before, now = now, 2 * multiply(now) - before
        out = out + c * now
    return out


def _whiten_triton(
    start: Float[Tensor, "V C h w"], diagonal: Float[Tensor, "V h w"], gram: Float[Tensor, "V P 5"], ridge: float
) -> Float[Tensor, "V C h w"]:
    """One kernel per step of the recurrence; the bound _MOST for all views, a finer one would wait for the GPU."""
    from gsd.noising.points.paint_triton import chebyshev_step

    _, channels, height, width = start.shape
    planes = torch.stack(_planes(gram.unflatten(1, (height, width))), 1)
    polynomial, scale, shift = inverse_root(ridge, _MOST)
    now, before, out = start.clone(), torch.zeros_like(start), polynomial[0] * start
    for k, coefficient in enumerate(polynomial[1:], 1):
        factor, previous = (1.0, 0.0) if k == 1 else (2.0, 1.0)
        launch(
            chebyshev_step, start.numel(), diagonal, planes, now, before, out, scale, shift, factor,
            previous, float(coefficient), start.numel(), width, height, channels,
        )  # fmt: skip
        now, before = before, now
    return out


def _planes(gram: Float[Tensor, "V h w 5"]) -> list[Float[Tensor, "V h w"]]:
    """Products of the unit rows of a pixel and of its neighbour at (0, 1), (1, -1), (1, 0), (1, 1)."""
    inverse = torch.where(gram[..., 0] > 0, gram[..., 0].clamp_min(1e-30).rsqrt(), 0.0)
    steps = ((0, 1), (1, -1), (1, 0), (1, 1))
    return [gram[..., i + 1] * inverse * _moved(inverse, dy, dx) for i, (dy, dx) in enumerate(steps)]


def _moved(t: Float[Tensor, "*n h w"], dy: int, dx: int) -> Float[Tensor, "*n h w"]:
    """t at (y + dy, x + dx), 0 outside."""
    height, width = t.shape[-2:]
    padded = pad(t, (1, 1, 1, 1))
    return padded[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def _rounded(bound: float) -> float:
    return min(_MOST, _STEP * max(1, math.ceil(bound / _STEP)))


@lru_cache(maxsize=64)
def inverse_root(ridge: float, largest: float) -> tuple[np.ndarray, float, float]:
    """Chebyshev coefficients of lambda^(-1/2) on [ridge, largest + ridge], and the map scale lambda - shift to [-1, 1].

    The shortest series p with |lambda p(lambda)^2 - 1| < 1e-3 on the whole interval.
    """
    low, high = ridge, largest + ridge
    scale, shift = 2 / (high - low), (high + low) / (high - low)
    series = np.polynomial.Chebyshev.interpolate(lambda x: ((x + shift) / scale) ** -0.5, 1000).coef
    angle = np.linspace(0, np.pi, 4001)
    eigenvalue, value, degree = (np.cos(angle) + shift) / scale, np.full_like(angle, series[0]), 0
    while degree == 0 or np.abs(eigenvalue * value**2 - 1).max() >= _ERROR:
        degree += 1
        value += series[degree] * np.cos(degree * angle)
    return series[: degree + 1], scale, shift
