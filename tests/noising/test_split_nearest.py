from dataclasses import replace

import pytest
import torch
from quick_config import quick
from warps import RNG, SCENE, drawn, near, operator

from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import geometry_at
from gsd.noising.check.reference import cameras, render
from gsd.noising.split_nearest import SplitNearest
from gsd.noising.warped.warp import Warp

NOISING = SplitNearest()


@pytest.mark.parametrize("degrees", [0.0, 5.0, 30.0])
def test_maps_are_exactly_white(degrees):
    assert max(operator(NOISING, cameras(0.0, degrees)).within()) < 1e-12


def test_a_value_is_split_among_those_that_take_it():
    """The closed form of the covariance: 1 / sqrt(m) with the source that m pixels share, 0 with all others."""
    cams = cameras(0.0, 30.0)
    links = Warp(geometry_at(SCENE, render(cams), cams, 64, 64), 0.1).links("nearest")
    second = (links.target >= 4096) & (links.weight > 0)
    target, source = links.target[second] - 4096, links.source[second] - 4096
    shared = source.bincount(minlength=4096)
    assert shared.max() > 3
    expected = torch.zeros(4096, 4096, dtype=torch.float64)
    expected[source, target] = shared[source].double().rsqrt()
    assert (torch.from_numpy(operator(NOISING, cams).cross.toarray()) - expected).abs().max() < 1e-12


def test_views_share():
    assert near(NOISING, 5.0) == pytest.approx(0.93, abs=0.03)
    assert near(NOISING, 1.0) > near(NOISING, 5.0) > near(NOISING, 10.0) > near(NOISING, 30.0)


def test_more_than_two_views_are_refused():
    cams = cameras(0.0, 5.0, 10.0, size=8)
    with pytest.raises(GsdError, match=r"there are 3; set camera\.views=2"):
        drawn(NOISING, SCENE, render(cams), cams, (3, 1, 8, 8), RNG)
    pairs = replace(cams, group=torch.tensor([0, 0, 1]))
    assert drawn(NOISING, SCENE, render(cams), pairs, (3, 1, 8, 8), RNG).isfinite().all()
    with pytest.raises(GsdError, match=r"camera\.views is 3; set camera\.views=2"):
        build(quick("noising=split_nearest", "camera.views=3"))
