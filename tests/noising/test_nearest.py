"""Both controls have to fail what they are known to fail, by as much as noise.md's formulas say."""

import pytest
import torch
from scipy import stats
from warps import RNG, SCENE, aligned, drawn, near, operator, variances

from gsd.geometry import geometry_at
from gsd.noising.bilinear import Bilinear
from gsd.noising.check.reference import cameras, render
from gsd.noising.nearest import Nearest
from gsd.noising.warped.warp import Warp


def test_nearest_repeats_standard_normal_values():
    cams = cameras(0.0, 5.0)
    found = operator(Nearest(), cams)
    variance, covariance = found.within()
    assert variance == 0
    assert covariance == 1
    maps = drawn(Nearest(), SCENE, render(cams), cams, (2, 100, 64, 64), RNG)[1]
    assert stats.kstest(maps.flatten().double().numpy(), "norm").pvalue > 1e-4


@pytest.mark.parametrize(("dx", "dy"), [(0.25, 0.0), (0.5, 0.0), (0.75, 0.25), (0.0, 0.125)])
def test_bilinear_loses_the_variance_of_a_mean(dx, dy):
    covariance, variance = aligned(Bilinear(), dx, dy)
    expected = ((1 - dx) ** 2 + dx**2) * ((1 - dy) ** 2 + dy**2)
    assert (variance - expected).abs().max() < 1e-3  # coordinates are rounded to 1/1024 pixel
    assert (covariance - (1 - dx) * (1 - dy)).abs().max() < 1e-3


def test_bilinear_variance_on_the_object():
    cams = cameras(0.0, 5.0)
    warp = Warp(geometry_at(SCENE, render(cams), cams, 64, 64), 0.1)
    links = warp.links("bilinear")
    weight = torch.zeros(2 * 4096, dtype=torch.float64).index_add_(0, links.target, links.weight)[4096:]
    whole = (weight == 1) & (warp.depth[1].flatten() > 0)
    assert whole.sum() > 1000
    variance = torch.from_numpy(variances(operator(Bilinear(), cams)))[whole]
    assert variance.mean() == pytest.approx(0.53, abs=0.01)
    assert variance.min() < 0.3  # 1/4 where a pixel falls on a corner


def test_views_share():
    assert near(Nearest(), 5.0) == pytest.approx(0.93, abs=0.03)
    assert near(Bilinear(), 5.0) == pytest.approx(0.65, abs=0.03)  # .87 as a correlation: its variance is .53
