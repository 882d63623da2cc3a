"""The depth picture of a cloud, against a loop over pixels and points."""

import pytest
import torch

from gsd.geometry import orbit, project, turntable
from gsd.prior.parts.depth import closed, cloud_depth, normalised, splat


def _cloud(count=200, seed=0):
    return 0.4 * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def _naive(xy, z, height, width, radius):
    out = torch.zeros(len(z), height, width)
    for v in range(len(z)):
        for (px, py), depth in zip(xy[v].tolist(), z[v].tolist(), strict=True):
            if depth <= 0:
                continue
            for y in range(height):
                for x in range(width):
                    holds = px // 1 == x and py // 1 == y
                    if holds or (x + 0.5 - px) ** 2 + (y + 0.5 - py) ** 2 <= radius**2:
                        out[v, y, x] = max(out[v, y, x], 1 / depth)
    return out


@pytest.mark.parametrize("radius", [0.0, 0.3, 0.7, 1.6, 3.2])
def test_the_splat_is_the_nearest_of_all_discs(radius):
    cameras = turntable(2, 14, distance=1.0)  # some points are behind the camera, some beside the picture
    xy, z = project(_cloud(60), cameras)
    assert (z < 0).any()
    got = splat(xy, z, (14, 14), radius)
    assert torch.allclose(got, _naive(xy, z, 14, 14, radius), atol=1e-6)
    assert (got > 0).any()


def test_near_is_bright_far_is_dark_and_nothing_is_0():
    points = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.3, 0.0], [-0.5, -0.3, 0.0]])
    cameras = orbit(*(torch.tensor([value]) for value in (0.0, 0.0, 2.0, 40.0)), 32, 32)  # from +x: right is +y
    picture = cloud_depth(points, cameras, 0.0, 0)
    assert picture.shape == (1, 1, 32, 32)
    xy, _ = project(points, cameras)
    values = [float(picture[0, 0, int(y), int(x)]) for x, y in xy[0].tolist()]
    inverse = [1 / 1.5, 1 / 2.0, 1 / 2.5]
    middle = (inverse[1] - inverse[2]) / (inverse[0] - inverse[2])
    assert values == pytest.approx([1.0, middle, 0.0], abs=1e-5)
    assert int((picture > 0).sum()) == 2  # the farthest is as dark as nothing, in 3DFuse too


def test_what_is_in_front_hides_what_is_behind():
    points = torch.tensor([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    cameras = turntable(2, 33, elevation=0.0, distance=2.0)  # from the front and from behind
    front, behind = cloud_depth(points, cameras, 0.05, 0)[:, 0]
    assert front[16, 16] == behind[16, 16] == 1
    assert torch.allclose(front.flip(1), behind, atol=1e-5)


def test_a_view_of_one_depth_is_bright_and_an_empty_one_dark():
    one = torch.zeros(1, 3)
    cameras = turntable(2, 9)
    assert cloud_depth(one, cameras, 0.0, 0).sum() == 2
    assert cloud_depth(one + 50, cameras, 0.0, 1).abs().sum() == 0


@pytest.mark.parametrize("fill", [1, 2])
def test_closing_fills_gaps_and_keeps_outlines(fill):
    inverse = torch.zeros(1, 20, 20)
    inverse[:, 4:16, 1:12] = 0.5
    whole = inverse.clone()
    inverse[:, 8 : 8 + 2 * fill, 6] = 0.0  # a hole, and a slit as wide as may be
    inverse[:, 4:16, 3 : 3 + 2 * fill] = 0.0
    inverse[:, 5, 8] = 0.7  # the nearest surface is what a gap takes
    filled = closed(inverse, fill)
    assert torch.equal(filled > 0, whole > 0)
    assert torch.equal(filled[inverse > 0], inverse[inverse > 0])
    wide = whole.clone()
    wide[:, :, 3 : 4 + 2 * fill] = 0.0
    assert torch.equal(closed(wide, fill), wide)


def test_normalised_views_do_not_mix():
    inverse = torch.tensor([[[0.0, 0.2], [0.4, 0.3]], [[2.0, 4.0], [0.0, 3.0]]])
    expected = torch.tensor([[[0.0, 0.0], [1.0, 0.5]], [[0.0, 1.0], [0.0, 0.5]]])
    assert torch.allclose(normalised(inverse), expected, atol=1e-6)
