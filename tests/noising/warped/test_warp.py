"""The geometry that the anchored noisings share, and what all of them owe whatever the input."""

from dataclasses import replace

import pytest
import torch
from warps import RNG, SCENE, bad_input, drawn, plane

from gsd.geometry import correspond, geometry_at
from gsd.noising.bilinear import Bilinear
from gsd.noising.check.reference import cameras, render
from gsd.noising.integral import Integral
from gsd.noising.nearest import Nearest
from gsd.noising.points.counter import normal
from gsd.noising.split_nearest import SplitNearest
from gsd.noising.warped.anchored import Sparse
from gsd.noising.warped.warp import SNAP, Warp
from gsd.random import Stream

ALL = [Bilinear(), Nearest(), SplitNearest(), Integral("chang", k=2), Integral("deng")]
every = pytest.mark.parametrize("noising", ALL, ids=["bilinear", "nearest", "split_nearest", "chang", "deng"])


def test_places_are_those_of_correspond():
    cams = cameras(0.0, 10.0)
    shown = render(cams)
    warp = Warp(geometry_at(SCENE, shown, cams, 64, 64), 0.1)
    coords, z = correspond(shown.depth[1:], cams[1:], cams[:1])
    at = warp.outlines()
    middle = torch.stack([at.x, at.y], -1)[..., 4, :]
    hit = shown.depth[1] > 0
    assert (middle - coords)[hit].abs().max() < 0.5 / SNAP + 1e-4
    assert (1 / at.inverse[..., 4] - z)[hit].abs().max() < 1e-5


def test_the_background_turns_with_the_camera_and_does_not_shift():
    cams = cameras(0.0, 10.0)
    far = replace(render(cams), depth=torch.zeros(2, 1, 64, 64), alpha=torch.zeros(2, 1, 64, 64))
    at = Warp(geometry_at(SCENE, far, cams, 64, 64), 0.1).outlines()
    infinity, _ = correspond(torch.full((1, 1, 64, 64), 1e6), cams[1:], cams[:1])
    front = at.x[..., 4].isfinite()
    assert front.all()
    assert (torch.stack([at.x, at.y], -1)[..., 4, :] - infinity).abs().max() < 0.5 / SNAP + 1e-3
    assert (at.inverse == 0).all()


def test_neighbours_share_their_corners_and_surfaces_do_not():
    cams = cameras(0.0, 10.0)
    at = Warp(geometry_at(SCENE, render(cams), cams, 64, 64), 0.1).outlines()
    inner = (slice(28, 36), slice(28, 36))  # in the middle of the object
    lower_right, upper_left = at.x[0, :, :, 8], at.x[0, :, :, 0]
    assert torch.equal(lower_right[inner], upper_left[29:37, 29:37])
    edge = (render(cams).alpha[1, 0, :, :-1] != render(cams).alpha[1, 0, :, 1:]).nonzero()
    y, x = edge.unbind(1)
    assert (at.x[0, y, x, 5] - at.x[0, y, x + 1, 3]).abs().min() > 0.5  # object and background move apart


def test_a_pixel_asks_only_pixels_that_show_the_same():
    cams = cameras(0.0, 30.0)
    warp = Warp(geometry_at(SCENE, render(cams), cams, 64, 64), 0.1)
    depth = warp.depth.flatten()
    for mode in ("nearest", "bilinear"):
        links = warp.links(mode)
        assert (links.weight >= 0).all()
        own = links.target < 4096
        second = ~own & (links.weight > 0)
        assert torch.equal(links.target[own], links.source[own])
        target, source = links.target[second], links.source[second] - 4096
        assert torch.equal(depth[target] == 0, depth[source] == 0)
        assert 1000 < len(target.unique()) < 4096
        weight = torch.zeros(4096, dtype=torch.float64).index_add_(0, target - 4096, links.weight[second])
        assert weight.max() == 1


def test_nothing_is_taken_from_behind_a_surface():
    """A wall seen from both sides has the same depth in both views, so that only its orientation tells."""
    cams = cameras(0.0, 180.0)
    wall = replace(render(cams), depth=torch.full((2, 1, 64, 64), 1.6), alpha=torch.ones(2, 1, 64, 64))
    warp = Warp(geometry_at(SCENE, wall, cams, 64, 64), 0.1)
    for mode in ("nearest", "bilinear"):
        links = warp.links(mode)
        assert (links.target[links.weight > 0] < 4096).all()


def test_sparse_product_equals_its_twin():
    generator = torch.Generator().manual_seed(0)
    row, column = (torch.randint(0, n, (500,), generator=generator) for n in (30, 40))
    matrix = Sparse(row, column, torch.rand(500, generator=generator, dtype=torch.float64), (30, 40))
    x = torch.randn(40, 3, generator=generator)
    assert torch.allclose(matrix @ x, matrix.matmul_torch(x), atol=1e-5)
    assert torch.allclose(matrix @ x, (matrix.coo() @ x.double()).float(), atol=1e-5)


@every
def test_the_operator_makes_the_maps(noising):
    """So their covariance is A A^T, as the values are independent and standard normal."""
    cams = cameras(0.0, 7.0, size=32)
    shown = render(cams)
    matrix = noising.operator(geometry_at(SCENE, shown, cams, 32, 32), RNG)
    values = normal(RNG.key(), torch.arange(matrix.shape[1]), 3)
    maps = drawn(noising, SCENE, shown, cams, (2, 3, 32, 32), RNG)
    assert matrix.dtype == torch.float64
    assert torch.allclose((matrix @ values.double()).float(), maps.transpose(0, 1).reshape(3, -1).T, atol=1e-5)


@every
@pytest.mark.parametrize("case", bad_input())
def test_bad_input_gives_noise(noising, case):
    cams, shown = bad_input()[case]
    pixels = cams.height * cams.width
    maps = drawn(noising, SCENE, shown, cams, (len(cams), 2, cams.height, cams.width), RNG)
    assert maps.isfinite().all()
    assert (maps != 0).all()
    matrix = noising.operator(geometry_at(SCENE, shown, cams, cams.height, cams.width), RNG)
    assert matrix.values().isfinite().all()
    for view in range(len(cams)):
        rows = matrix.index_select(0, torch.arange(view * pixels, (view + 1) * pixels)).to_dense()
        if {"white", "unit"} <= noising.claims:
            assert (rows @ rows.T - torch.eye(pixels)).abs().max() < 1e-12
        else:  # a mean of values, or one
            assert (rows >= 0).all()
            assert (rows.sum(1) - 1).abs().max() < 1e-12


@every
def test_views_without_anything_in_common_are_independent(noising):
    cams, shown = bad_input()["no overlap"]
    matrix = noising.operator(geometry_at(SCENE, shown, cams, 16, 16), RNG).to_dense()
    assert (matrix[:256] @ matrix[256:].T == 0).all()


@every
def test_the_same_camera_gives_the_same_map(noising):
    cams = cameras(20.0, 20.0)
    maps = drawn(noising, SCENE, render(cams), cams, (2, 3, 64, 64), RNG)
    assert (maps[0] - maps[1]).abs().max() < 1e-5


@every
@pytest.mark.parametrize("shift", [(3.0, 0.0), (-2.0, 5.0)])
def test_a_shift_by_whole_pixels_copies(noising, shift):
    maps = drawn(noising, SCENE, *reversed(plane(*shift)), (2, 2, 16, 16), RNG)
    dx, dy = (int(s) for s in shift)
    moved = maps[0].roll((-dy, -dx), (1, 2))[:, 6:-6, 6:-6]
    assert torch.allclose(maps[1][:, 6:-6, 6:-6], moved, atol=1e-5)


@every
def test_groups_do_not_share_and_steps_repeat(noising):
    cams = replace(cameras(*[0.0] * 4), group=torch.tensor([3, 3, 5, 5]))
    args = (SCENE, render(cams), cams, (4, 3, 64, 64))
    maps = drawn(noising, *args, Stream(3, "x", 7))
    assert torch.equal(maps, drawn(noising, *args, Stream(3, "x", 7)))
    assert (maps[1::2] - maps[::2]).abs().max() < 1e-5
    later = drawn(noising, *args, Stream(3, "x", 8))
    for a, b in ((maps[0], maps[2]), (maps[1], maps[2]), (maps[0], later[0]), (maps[1], later[3])):
        assert (a * b).mean().abs() < 5 / a.numel() ** 0.5


@every
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 1, 1), (5, 16, 24), (2, 7, 3)])
def test_maps_of_any_shape_from_renders_of_another(noising, channels, height, width):
    cams = cameras(0.0, 5.0, size=48)
    maps = drawn(noising, SCENE, render(cams), cams, (2, channels, height, width), RNG)
    assert maps.shape == (2, channels, height, width)
    assert maps.dtype == torch.float32
    assert maps.isfinite().all()


@every
def test_partly_blended_views_share_less(noising):
    cams = cameras(0.0, 0.0)
    blended = type(noising)(sqrt_beta=0.5)
    maps = drawn(blended, SCENE, render(cams), cams, (2, 8, 64, 64), RNG)
    assert (maps[0] * maps[1]).mean() == pytest.approx(0.25, abs=5 * (1.1 / maps[0].numel()) ** 0.5)
