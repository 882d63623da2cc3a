import pytest
import torch
from warps import RNG, SCENE, aligned, bad_input, near, operator

from gsd.geometry import geometry_at
from gsd.noising import integral
from gsd.noising.check.reference import cameras, render, visible_in_both
from gsd.noising.check.statistics import Operator
from gsd.noising.integral import Integral, cover, cover_torch
from gsd.noising.warped.warp import Warp

CHANG, DENG = Integral("chang"), Integral("deng")
both = pytest.mark.parametrize("noising", [CHANG, DENG], ids=["chang", "deng"])


@both
@pytest.mark.parametrize("degrees", [0.0, 5.0, 30.0])
def test_maps_are_exactly_white(noising, degrees):
    found = operator(noising, cameras(0.0, degrees))
    assert max(found.within()) < 1e-12
    if noising is CHANG:
        assert found.reused() == 0


@both
@pytest.mark.parametrize(("dx", "dy"), [(0.25, 0.0), (0.5, 0.0), (0.5, 0.25)])
def test_views_of_a_plane_share_the_area_that_overlaps(noising, dx, dy):
    covariance, variance = aligned(noising, dx, dy)
    assert (variance - 1).abs().max() < 1e-12
    assert (covariance - (1 - dx) * (1 - dy)).abs().max() < 0.02


@both
def test_views_share(noising):
    assert near(noising, 5.0) == pytest.approx(0.65 if noising is CHANG else 0.64, abs=0.03)
    assert near(noising, 1.0) > near(noising, 5.0) > near(noising, 10.0) > near(noising, 30.0)


@both
def test_pairs_without_the_anchor(noising):
    """Chang's sub-values are one set for all views; Deng's views are coupled through the anchor alone."""
    cams = cameras(0.0, 5.0, 10.0)
    matrix = noising.operator(geometry_at(SCENE, render(cams), cams, 64, 64), RNG)
    last = Operator(matrix.index_select(0, torch.arange(4096, 3 * 4096)), 4096)
    alike = last.near(*visible_in_both(cams[1:])).mean()
    assert alike == pytest.approx(0.64 if noising is CHANG else 0.43, abs=0.03)
    assert max(last.within()) < 1e-12


def test_more_sub_pixels_come_closer_to_the_area():
    """Shift 0.3: half a pixel each way for k = 1, 6 of 8 sub-pixels for k = 3, 22 of 32 for k = 5."""
    shares = [float(aligned(Integral("chang", k=k), 0.3)[0].mean()) for k in (0, 1, 3, 5)]
    assert shares == pytest.approx([1.0, 0.5, 0.75, 0.6875], abs=1e-9)


def test_sub_pixels_of_the_anchor_sum_to_its_noise():
    matrix = CHANG.operator(geometry_at(SCENE, render(cameras(0.0)), cameras(0.0), 64, 64), RNG).coalesce()
    assert torch.equal(matrix.indices()[0].bincount(), torch.full((4096,), 64))
    assert (matrix.values() == 1 / 8).all()


@pytest.mark.parametrize("case", ["1", "30", "90", *(c for c in bad_input() if c != "one view")])
def test_kernel_equals_its_twin(case, monkeypatch):
    monkeypatch.setattr(integral, "cover_torch", None)  # `cover` has the kernel here
    cams, shown = bad_input()[case] if case in bad_input() else (cameras(0.0, float(case)), None)
    warp = Warp(geometry_at(SCENE, shown or render(cams), cams, cams.height, cams.width), 0.1)
    at = warp.outlines()
    outline = [x[0].flatten(0, 1) for x in (at.x, at.y, at.inverse)]
    for per_pixel in (1, 4):
        fast, slow = (f(*outline, warp.depth[0], per_pixel, 0.1) for f in (cover, cover_torch))
        assert torch.equal(fast, slow)
    if case in ("1", "30"):
        assert (fast >= 0).float().mean() > 0.3


def test_of_two_surfaces_the_anchor_sees_one():
    """Where a fold lets two pixels cover a sub-pixel, the first has it; what lies far behind has nothing."""
    square = torch.tensor([[0.0, 0.5, 1.0]] * 3, dtype=torch.float64)
    x, y = square.flatten().expand(3, -1), square.T.flatten().expand(3, -1)
    inverse = 1 / torch.tensor([[3.0], [2.0], [2.05]], dtype=torch.float64).expand(-1, 9)
    for f in (cover, cover_torch):
        owner = f(x.contiguous(), y.contiguous(), inverse.contiguous(), torch.full((1, 1), 2.0).double(), 4, 0.1)
        assert (owner == 1).all()
        mirrored = f((1 - x).contiguous(), y.contiguous(), inverse.contiguous(), torch.ones(1, 1).double() * 2, 4, 0.1)
        assert (mirrored == -1).all()  # seen from behind
