import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsd.geometry import orbit
from gsd.noising.check.reference import cameras, render, surface
from gsd.noising.points.canvas import Canvas, Cloud, Layer, Values, bell, child_ids, reach
from gsd.random import Stream

CPU = torch.device("cpu")


def scattered(count, upsample, seed=0, ids=None):
    """Points with random frames in and around the unit ball."""
    generator = torch.Generator().manual_seed(seed)
    points = 0.4 * torch.randn(count, 3, generator=generator)
    frames = 0.03 * torch.randn(count, 3, 3, generator=generator)
    return Cloud(points, frames, torch.arange(count) if ids is None else ids, upsample, key=5)


def exact(upsample, seed=0):
    return Values(Stream(seed, "values"), upsample**-0.5, 1.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50), st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_values_equal_their_twin(count, upsample, channels, seed):
    ids = torch.randint(0, 10**9, (count,), generator=torch.Generator().manual_seed(seed))
    values = Values(Stream(seed, "values"), 0.7, 0.3)
    assert torch.allclose(
        values.of(ids, upsample, channels), values.of_torch(ids, upsample, channels), rtol=1e-4, atol=1e-5
    )


def test_values_sum_to_their_parent_and_are_white():
    ids = torch.arange(250_000)
    values = exact(4).of(ids, 4, 1)[..., 0]
    parents = Values(Stream(0, "values"), 1.0, 0.0).of(ids, 1, 1)[:, 0, 0]
    assert torch.allclose(values.sum(1) / 2, parents, atol=1e-5)
    assert (torch.cov(values.T) - torch.eye(4)).abs().max() < 5.5 * (2 / len(ids)) ** 0.5


def test_child_ids_are_unique():
    assert len(child_ids(torch.tensor([0, 1, 7, 100]), 9).unique()) == 36


def test_places_are_independent_of_variance_one_and_bounded():
    u = bell(3, torch.arange(300_000))
    assert u.abs().max() < 3
    assert u.mean(0).abs().max() < 5 / len(u) ** 0.5
    assert (torch.cov(u.T) - torch.eye(3)).abs().max() < 5 * (2 / len(u)) ** 0.5
    assert torch.equal(bell(3, torch.tensor([7, 9])), u[[7, 9]])
    assert not torch.equal(bell(4, torch.tensor([7, 9])), u[[7, 9]])


def painted(twin, cloud, cams, kernel, depth, accepts, channels=3, stored=None):
    values = Values(Stream(0, "values"), cloud.upsample**-0.5, 1.0, stored)
    canvas = Canvas(torch.zeros(len(cams), 1, cams.height, cams.width), channels, kernel, 0.05)
    (canvas.paint_torch if twin else canvas.paint)(Layer(cloud, cams, accepts, depth, 0.1), values)
    return canvas


@pytest.mark.parametrize("kernel", ["box", "trapezoid", "tent"])
@pytest.mark.parametrize(("count", "upsample"), [(0, 3), (1, 600), (700, 1), (3000, 5)])
def test_painting_equals_its_twin(kernel, count, upsample):
    cams = cameras(0.0, 5.0, 100.0, elevation=20.0, size=24)
    accepts = torch.rand(3, 1, 24, 24, generator=torch.Generator().manual_seed(0)) < 0.9
    scene = surface(max(count, 1))
    cloud = Cloud(scene.points[:count], 0.02 * torch.eye(3).expand(count, 3, 3), torch.arange(count), upsample, 9)
    for depth in (render(cams).depth, None):
        fast, slow = (painted(twin, cloud, cams, kernel, depth, accepts) for twin in (False, True))
        assert count < 2 or slow.gram.sum() > 0
        differ = ((fast.gram - slow.gram).abs() > 1e-3).any(2)
        assert differ.float().mean() < 2e-3  # sub-points on the edge of a pixel or of the tolerance
        scale = slow.gram[..., :1].sqrt().clamp_min(1)
        assert ((fast.total - slow.total) / scale).abs()[~differ].max() < 1e-3


def test_stored_values_are_used_as_they_are():
    cams = cameras(0.0, 5.0, size=24)
    cloud, everywhere = scattered(400, 2), torch.ones(2, 1, 24, 24, dtype=torch.bool)
    drawn = exact(2).of(cloud.ids, 2, 3)
    given_, fresh = (painted(False, cloud, cams, "box", None, everywhere, stored=s) for s in (drawn, None))
    twin = painted(True, cloud, cams, "box", None, everywhere, stored=drawn)
    assert torch.allclose(given_.total, fresh.total, atol=1e-5)
    assert torch.allclose(given_.total, twin.total, atol=1e-5)


def test_box_maps_equal_their_twin_and_fill_what_is_empty():
    cams = cameras(0.0, 5.0, size=24)
    canvas = painted(False, scattered(200, 3), cams, "box", None, torch.ones(2, 1, 24, 24, dtype=torch.bool))
    maps, twin = canvas.maps(Stream(0, "fresh")), canvas.maps_torch(Stream(0, "fresh"))
    assert 0.2 < (canvas.gram == 0).float().mean() < 0.9
    assert torch.allclose(maps, twin, atol=1e-5)
    assert (maps != 0).all()


def place(points, kernel="box", accepts=None, **options):
    """Where points fall for one camera of 4 x 4 pixels with focal length 2, two units away on the x axis."""
    cams = orbit(*(torch.tensor([x]) for x in (0.0, 0.0, 2.0, 90.0)), 4, 4)
    points = torch.tensor(points)
    cloud = Cloud(points, torch.zeros(len(points), 3, 3), torch.arange(len(points)), 1, 0)
    accepts = torch.ones(1, 1, 4, 4, dtype=torch.bool) if accepts is None else accepts
    depth, tolerance = options.get("depth"), options.get("tolerance", 0.0)
    pixel, weight = reach(Layer(cloud, cams, accepts, depth, tolerance), kernel)
    canvas = Canvas(torch.zeros(1, 1, 4, 4), 1, kernel, 0.1)
    canvas.paint(Layer(cloud, cams, accepts, depth, tolerance), Values(Stream(0, "v"), 1.0, 1.0))
    squares = torch.zeros(16).index_add_(0, pixel[pixel >= 0], (weight**2)[pixel >= 0])
    assert torch.allclose(canvas.gram[0, :, 0], squares, atol=1e-6)  # kernel and twin, on every case below
    return pixel[0], weight[0]


def test_landing_by_hand():
    points = [[0, 0, 0], [0, 0.5, -0.5], [0, -1.99, 1.99], [0, 2.01, 0], [3, 0, 0], [math.nan, 0, 0], [0, 0, math.inf]]
    assert place(points)[0].flatten().tolist() == [10, 10, 0, -1, -1, -1, -1]
    nowhere = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    assert place(points, accepts=nowhere)[0].flatten().tolist() == [-1] * 7
    depth = torch.full((1, 1, 4, 4), 1.8)
    assert place([[0.0, 0, 0]], depth=depth, tolerance=0.21)[0].item() == 10
    assert place([[0.0, 0, 0]], depth=depth, tolerance=0.19)[0].item() == -1


def test_tent_by_hand():
    pixel, weight = place([[0.0, 0.25, -0.25]], "tent")  # at (2.25, 2.25): a quarter from the centres at 2.5
    assert pixel[0].tolist() == [5, 6, 9, 10]
    assert torch.allclose(weight[0], torch.tensor([0.0625, 0.1875, 0.1875, 0.5625]))
    accepts = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    accepts.view(-1)[5] = False
    assert place([[0.0, 0.25, -0.25]], "tent", accepts)[0][0].tolist() == [-1, 6, 9, 10]
    accepts.view(-1)[10] = False  # which contains it
    assert place([[0.0, 0.25, -0.25]], "tent", accepts)[0][0].tolist() == [-1, -1, -1, -1]
    assert place([[0.0, -1.9, 1.9]], "tent")[0][0].tolist() == [-1, -1, -1, 0]  # at the border: one pixel is left


def test_trapezoid_by_hand():
    pixel, weight = place([[0.0, 0.25, -0.1], [0.0, 0.5, -0.5]], "trapezoid")  # at (2.25, 2.1), and amid its pixel
    assert pixel.tolist() == [[-1, 6, -1, 10], [10, -1, -1, -1]]
    assert torch.allclose(weight[0, 1::2], torch.tensor([0.3, 0.7]))
    assert weight[1].tolist() == [1, 0, 0, 0]


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["box", "trapezoid", "tent"])
def test_cuda_equals_cpu(kernel):
    cams = cameras(0.0, 5.0, size=24)
    cloud, everywhere = scattered(400, 2), torch.ones(2, 1, 24, 24, dtype=torch.bool)
    slow = painted(False, cloud, cams, kernel, None, everywhere)
    there = Canvas(torch.zeros(2, 1, 24, 24, device="cuda"), 3, kernel, 0.05)
    moved = Cloud(cloud.points.cuda(), cloud.frames.cuda(), cloud.ids.cuda(), cloud.upsample, cloud.key)
    there.paint(Layer(moved, cams.to("cuda"), everywhere.cuda()), exact(2))
    assert ((there.gram.cpu() - slow.gram).abs() > 1e-3).float().mean() < 2e-3
    same = (there.gram.cpu() - slow.gram).abs().amax(2) < 1e-3
    assert (there.total.cpu() - slow.total).abs()[same].max() < 1e-3
