"""Thresholds: S samples a pixel, P pixels, five standard errors unless said otherwise."""

import functools

import pytest
import torch
from scipy import stats

from gsd.geometry import correspond, sample
from gsd.noising.consistent import Consistent
from gsd.noising.random import Random
from gsd.noising.reference import cameras, render, surface
from gsd.random import Stream
from gsd.types import Render, Scene

DRAWS, CHANNELS, SIZE = 500, 4, 64
S, P = DRAWS * CHANNELS, SIZE * SIZE
NOISING = Consistent(upsample=9, spread=0.02)


@functools.cache
def draws(degrees: float = 5.0) -> torch.Tensor:
    """[S, 2, h, w] samples of both views of the reference scene with 5,000 points."""
    cams = cameras(0.0, degrees)
    shown, scene = render(cams), surface(5000)
    maps = [NOISING(scene, shown, cams, (2, CHANNELS, SIZE, SIZE), Stream(0, "test", k)) for k in range(DRAWS)]
    return torch.stack(maps, 1).transpose(0, 2).reshape(S, 2, SIZE, SIZE)


def near(a: torch.Tensor, b: torch.Tensor, degrees: float) -> torch.Tensor:
    """Mean correlation of corresponding pixels: of map a at p and map b at the pixel that contains p's point."""
    cams = cameras(0.0, degrees)
    shown = render(cams)
    coords, z = correspond(shown.depth[:1], cams[:1], cams[1:])
    there = sample(shown.depth[1:], coords, "nearest")[0, 0]
    both = ((there - z[0]).abs() < 0.07) & (shown.alpha[0, 0] > 0.5)
    warped = sample(b[None], coords, "nearest")[0]
    return (a * warped).mean(0)[both].mean()


def test_each_map_is_standard_normal():
    maps = draws()[:, 1]
    assert maps.isfinite().all()
    assert (maps == 0).sum() < 10  # of 8 million; a zero-filled pixel would be zero in thousands of draws
    assert maps.mean().abs() < 5 / (S * P) ** 0.5
    assert (maps.var() - 1).abs() < 5 * (2 / (S * P)) ** 0.5
    assert (maps.var(0) - 1).abs().max() < 5.5 * (2 / S) ** 0.5
    values = maps.flatten()[:: S * P // 400_000].numpy()
    assert stats.kstest(values, "norm").pvalue > 1e-4
    assert abs(stats.kurtosis(maps.numpy(), axis=None)) < 5 * (24 / (S * P)) ** 0.5


@pytest.mark.parametrize("corner", [(24, 24), (8, 24)], ids=["object", "silhouette"])
def test_pixels_are_independent(corner):
    y, x = corner
    patch = draws()[:, 1, y : y + 16, x : x + 16].reshape(S, 256)
    correlation = torch.corrcoef(patch.T)
    off = correlation[~torch.eye(256, dtype=bool)]
    assert abs(S * off.square().mean() - 1) < 0.045
    assert off.abs().max() < 5.5 / S**0.5


def test_views_share_what_they_both_see():
    both = draws()
    assert near(both[:, 0], both[:, 1], 5.0) == pytest.approx(0.60, abs=0.03)


def test_opposite_views_are_independent():
    both = draws(180.0)
    assert (both[:, 0] * both[:, 1]).mean().abs() < 5 / (S * P) ** 0.5


def test_same_view_gives_the_same_map():
    cams = cameras(20.0, 20.0)
    maps = NOISING(surface(2000), render(cams), cams, (2, 3, 32, 32), Stream(1, "test"))
    shown = torch.nn.functional.interpolate(render(cams).alpha, (32, 32), mode="area")[0, 0]
    same = (maps[0] == maps[1]).all(0)
    assert same[shown == 1].float().mean() > 0.95  # all but the pixels that no point reached
    assert same[shown == 0].float().mean() > 0.95


def test_points_off_the_visible_surface_do_not_matter():
    cams = cameras(0.0, 5.0)
    shown, scene = render(cams), surface(3000)
    hidden = torch.rand(500, 3) * 0.1 - torch.tensor([0.05, 0.05, 0.05])  # at the centre, far behind the surface
    behind = torch.tensor([[9.0, 0.0, 0.0]]).expand(500, 3)  # behind both cameras
    more = Scene(torch.cat([scene.points, hidden, behind]), torch.arange(4000))
    shape = (2, 3, 64, 64)
    assert torch.equal(
        NOISING(scene, shown, cams, shape, Stream(0, "x")), NOISING(more, shown, cams, shape, Stream(0, "x"))
    )


@pytest.mark.parametrize("count", [1, 50, 20_000])
@pytest.mark.parametrize(("channels", "size"), [(1, 1), (3, 17), (5, 64)])
def test_any_number_of_points_channels_and_pixels(count, channels, size):
    cams = cameras(0.0, 5.0, 10.0, size=size)
    maps = NOISING(surface(count), render(cams), cams, (3, channels, size, size), Stream(0, "x"))
    assert maps.shape == (3, channels, size, size)
    assert maps.isfinite().all()
    assert (maps == 0).sum() == 0


def test_no_points_nothing_visible_and_infinite_points_give_noise():
    cams = cameras(0.0, 5.0)
    shown = render(cams)
    empty = Render(shown.rgb, torch.zeros_like(shown.depth), torch.zeros_like(shown.alpha))
    broken = Scene(torch.tensor([[torch.nan, 0, 0], [torch.inf, 0, 0], [0, 0, 1e30]]), torch.arange(3))
    none = Scene(torch.zeros(0, 3), torch.arange(0))
    for scene in (broken, none, surface(100)):
        for image in (shown, empty):
            maps = NOISING(scene, image, cams, (2, 4, 64, 64), Stream(0, "x"))
            assert maps.isfinite().all()
            assert abs(maps.var() - 1) < 5 * (2 / maps.numel()) ** 0.5


def test_random_noise_is_not_shared():
    cams = cameras(0.0, 5.0)
    maps = Random()(surface(10), render(cams), cams, (2, S, SIZE, SIZE), Stream(0, "x"))
    assert near(maps[0], maps[1], 5.0).abs() < 5 / (S * 1000) ** 0.5


def test_a_step_repeats_and_the_next_differs():
    cams = cameras(0.0, 5.0)
    args = (surface(1000), render(cams), cams, (2, 3, 64, 64))
    first = NOISING(*args, Stream(3, "x", 7))
    assert torch.equal(first, NOISING(*args, Stream(3, "x", 7)))
    later = NOISING(*args, Stream(3, "x", 8))
    assert (first * later).mean().abs() < 5 / first.numel() ** 0.5
