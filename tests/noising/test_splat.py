import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsd.geometry import orbit
from gsd.noising import kernels
from gsd.noising.counter import normal
from gsd.noising.reference import cameras, render, surface
from gsd.noising.splat import (
    Canvas,
    child_ids,
    land,
    land_torch,
    near_cone,
    sub_values,
    sub_values_torch,
)
from gsd.random import Stream


def test_operator_is_an_isometry():
    """A A^T = I in float64 and no point in two pixels of a view, for any positions whatever."""
    generator = torch.Generator().manual_seed(0)
    pixel = torch.randint(-20, 64, (2, 300), generator=generator).clamp_min(-1)
    canvas = Canvas((2, 300, 8, 8), torch.float64, "cpu")
    canvas.add(torch.eye(300, dtype=torch.float64).view(100, 3, 300), torch.arange(100), pixel.view(2, 100, 3).int())
    A = canvas.maps(Stream(0, "fresh")).flatten(2).transpose(1, 2)
    for view, count in zip(A, canvas.count, strict=True):
        rows = view[count > 0]
        assert len(rows) > 40
        assert (rows @ rows.T - torch.eye(len(rows), dtype=torch.float64)).abs().max() < 1e-12
        assert ((rows != 0).sum(0) <= 1).all()


def test_sub_values_sum_to_their_parent_and_are_white():
    rng, ids = Stream(0, "values"), torch.arange(200_000)
    values = sub_values(ids, 4, 1, rng)[..., 0]
    parents = normal(rng.sub("parent").key(), ids, 1)[:, 0]
    assert torch.allclose(values.sum(1) / 2, parents, atol=1e-5)
    assert (torch.cov(values.T) - torch.eye(4)).abs().max() < 5 * (2 / len(ids)) ** 0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50), st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_kernels_equal_their_twins(count, upsample, channels, seed):
    generator = torch.Generator().manual_seed(seed)
    parents = torch.randn(count, channels, generator=generator)
    children = torch.randn(count, upsample, channels, generator=generator)
    expected = sub_values_torch(parents, children)
    kernels.fill_sub_values(parents.numpy(), children.numpy())
    assert torch.allclose(children, expected, atol=1e-5)

    pixel = torch.randint(-3, 30, (2, count, upsample), generator=generator).clamp_min(-1).int()
    chosen = torch.arange(0, count, 2)
    fast, slow = (Canvas((2, channels, 5, 6), torch.float32, "cpu") for _ in range(2))
    fast.add(children[chosen], chosen, pixel)
    slow.add_torch(children[chosen], chosen, pixel)
    assert torch.allclose(fast.total, slow.total, atol=1e-5)
    assert torch.equal(fast.count, slow.count)
    rng = Stream(seed, "fresh")
    assert torch.allclose(slow.maps_torch(rng), fast.maps(rng), atol=1e-5)


def test_landing_equals_its_twin():
    cams = cameras(0.0, 5.0, 100.0, elevation=20.0)
    depth, accepts = render(cams).depth, torch.rand(3, 1, 64, 64) < 0.9
    points = surface(5_000).points
    offsets = 0.02 * torch.randn(5_000, 4, 3, generator=torch.Generator().manual_seed(0))
    for surface_depth in (depth, None):
        (fast, seen), (slow, seen_slow) = (
            f(points, offsets, cams, accepts, surface_depth, 0.1) for f in (land, land_torch)
        )
        assert (fast != slow).float().mean() < 1e-3  # points on the edge of a pixel or of the tolerance
        assert 0.1 < (fast >= 0).float().mean() < 0.95
        assert len(set(seen.tolist()) ^ set(seen_slow.tolist())) < 10


def test_cone_equals_its_twin():
    directions = torch.nn.functional.normalize(torch.randn(3000, 3), dim=-1)
    axes = directions[:2]
    expected = (directions @ axes.T > 0.6).any(1).nonzero()[:, 0]
    assert torch.equal(near_cone(directions, axes, 0.6), expected)
    assert torch.equal(near_cone(directions.double(), axes.double(), 0.6), expected)


def test_landing_by_hand():
    cams = orbit(*(torch.tensor([x]) for x in (0.0, 0.0, 2.0, 90.0)), 4, 4)  # focal length 2 pixels
    points = torch.tensor(
        [[0, 0, 0], [0, 0.5, -0.5], [0, -1.99, 1.99], [0, 2.01, 0], [3, 0, 0], [torch.nan, 0, 0], [0, 0, torch.inf]]
    )
    everywhere = torch.ones(1, 1, 4, 4, dtype=torch.bool)

    def places(points, accepts=everywhere, **options):
        pixel, seen = land(points, torch.zeros(len(points), 1, 3), cams, accepts, **options)
        assert seen.tolist() == (pixel[0, :, 0] >= 0).nonzero()[:, 0].tolist()
        return pixel.flatten().tolist()

    assert places(points) == [10, 10, 0, -1, -1, -1, -1]
    assert places(points, ~everywhere) == [-1] * 7
    depth = torch.full((1, 1, 4, 4), 1.8)
    assert places(points[:1], depth=depth, tolerance=0.21) == [10]
    assert places(points[:1], depth=depth, tolerance=0.19) == [-1]
    moved, _ = land(torch.zeros(1, 3), points[None, :2], cams, everywhere)
    assert moved.flatten().tolist() == [10, 10]


def test_child_ids_are_unique():
    ids = torch.tensor([0, 1, 7, 100])
    assert len(child_ids(ids, 9).unique()) == 36
