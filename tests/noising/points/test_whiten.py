"""The whitened canvases against the inverse root taken by an eigendecomposition of the dense Gram matrix."""

import numpy as np
import pytest
import torch

from gsd.noising.check.reference import cameras, render, surface
from gsd.noising.points.canvas import Canvas, Cloud, Layer, Values, reach
from gsd.noising.points.counter import normal
from gsd.noising.points.whiten import LEAST, inverse_root
from gsd.random import Stream

CPU, SIZE, CHANNELS = torch.device("cpu"), 16, 3
AREA = SIZE * SIZE


def scene(points):
    cams = cameras(0.0, 5.0, size=SIZE)
    shown, s = render(cams), surface(points)
    cloud = Cloud(s.points, 0.02 * torch.eye(3).expand(points, 3, 3), s.ids, 2, 7)
    return Layer(cloud, cams, shown.alpha > 0.5, shown.depth, 0.1)


def dense(layer, kernel="tent"):
    """B with rows of unit length (or 0), float64, of every view."""
    pixel, weight = reach(layer, kernel)
    views = len(layer.cameras)
    B = torch.zeros(views, AREA + 1, pixel.shape[1], dtype=torch.float64)
    points = torch.arange(pixel.shape[1])[:, None].expand_as(pixel[0])
    for v in range(views):
        B[v, pixel[v], points] = weight[v].double()  # -1 is the last row, which is dropped
    B = B[:, :AREA]
    return B / B.norm(dim=2, keepdim=True).clamp_min(1e-20)


def maps(layer, kernel, ridge, dtype):
    canvas = Canvas(layer.depth.to(dtype), CHANNELS, kernel, ridge)
    paint = canvas.paint if dtype == torch.float32 else canvas.paint_torch
    paint(layer, Values(Stream(0, "v"), 2**-0.5, 1.0))
    return canvas.maps(Stream(0, "z"))


@pytest.mark.parametrize("points", [40, 3000])
@pytest.mark.parametrize(("kernel", "ridge"), [("tent", 0.05), ("tent", 0.01), ("trapezoid", 0.01)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_dense_inverse_root(points, kernel, ridge, dtype):
    layer = scene(points)
    B = dense(layer, kernel)
    G = B @ B.mT
    own = torch.full((2, AREA), ridge, dtype=torch.float64) if kernel == "tent" else added(G)
    m = Values(Stream(0, "v"), 2**-0.5, 1.0).of(layer.cloud.ids, 2, CHANNELS).flatten(0, 1).double()
    z = normal(Stream(0, "z").key(), torch.arange(2 * AREA), CHANNELS).double().view(2, AREA, CHANNELS)
    values, vectors = torch.linalg.eigh(G + own.diag_embed())
    root = (vectors * values.rsqrt()[:, None]) @ vectors.mT
    expected = root @ (B @ m + own.sqrt()[..., None] * z)
    found = maps(layer, kernel, ridge, dtype).flatten(2).mT.double()
    assert (found - expected).abs().max() < 1e-3
    assert ((found - expected).norm() / expected.norm()) < 1e-4
    assert torch.allclose(found[:, B[0].norm(dim=1) == 0][0], z[0][B[0].norm(dim=1) == 0], atol=1e-3)


def added(G):
    """R of the trapezoid: what rows lack that overlap by more than 1 - LEAST, and 1 where there is nothing."""
    shown = G.diagonal(dim1=1, dim2=2)
    return torch.where(shown > 0, (G.sum(2) - shown - (1 - LEAST)).clamp_min(0), 1.0)


@pytest.mark.parametrize("points", [40, 300, 3000])
def test_no_eigenvalue_of_the_trapezoid_is_below_the_least(points):
    B = dense(scene(points), "trapezoid")
    G = B @ B.mT
    values = torch.linalg.eigvalsh(G + added(G).diag_embed())
    assert values.min() >= LEAST - 1e-9
    assert values.max() <= 4 + 5 - (1 - LEAST)


@pytest.mark.parametrize("ridge", [0.2, 0.02, 0.005])
@pytest.mark.parametrize("largest", [1.0, 2.5, 4.0])
def test_polynomial_is_the_inverse_root(ridge, largest):
    coefficients, scale, shift = inverse_root(ridge, largest + ridge)
    x = np.linspace(ridge, largest + ridge, 5000)
    p = np.polynomial.chebyshev.chebval(scale * x - shift, coefficients)
    assert np.abs(x * p**2 - 1).max() < 1.1e-4
    shorter = np.polynomial.chebyshev.chebval(scale * x - shift, coefficients[:-1])
    assert np.abs(x * shorter**2 - 1).max() > 0.9e-4  # no longer than it must be


def test_no_eigenvalue_is_above_four():
    B = dense(scene(3000))
    assert torch.linalg.eigvalsh(B @ B.mT).max() <= 4 + 1e-9
