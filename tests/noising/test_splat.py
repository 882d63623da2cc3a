import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_scene import cameras, render, surface

from gsd.geometry import orbit
from gsd.noising import kernels
from gsd.noising.counter import normal
from gsd.noising.splat import (
    Canvas,
    child_ids,
    land,
    land_torch,
    sub_values,
    sub_values_torch,
)
from gsd.random import Stream


def test_operator_is_an_isometry():
    """A A^T = I in float64 and no point in two pixels of a view, for any positions whatever."""
    generator = torch.Generator().manual_seed(0)
    pixel = torch.randint(-20, 64, (2, 300), generator=generator).clamp_min(-1)
    canvas = Canvas((2, 300, 8, 8), torch.float64, "cpu")
    canvas.add(torch.eye(300, dtype=torch.float64), pixel)
    A = canvas.maps(torch.full((2, 300, 8, 8), torch.nan, dtype=torch.float64)).flatten(2).transpose(1, 2)
    for view in A:
        rows = view[~view.isnan().any(1)]
        assert len(rows) > 40
        assert (rows @ rows.T - torch.eye(len(rows), dtype=torch.float64)).abs().max() < 1e-12
        assert ((rows != 0).sum(0) <= 1).all()


def test_sub_values_sum_to_their_parent_and_are_white():
    rng, ids = Stream(0, "values"), torch.arange(200_000)
    values = sub_values(ids, 4, 1, rng)[:, 0].view(-1, 4)
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

    values = children.flatten(0, 1)
    pixel = torch.randint(-3, 30, (2, len(values)), generator=generator).clamp_min(-1)
    fast, slow = (Canvas((2, channels, 5, 6), torch.float32, "cpu") for _ in range(2))
    fast.add(values, pixel.int())
    slow.add_torch(values, pixel.int())
    assert torch.allclose(fast.total, slow.total, atol=1e-5)
    assert torch.equal(fast.count, slow.count)


def test_landing_equals_its_twin():
    cams = cameras(0.0, 5.0, 100.0, elevation=20.0)
    depth, accepts = render(cams).depth, torch.rand(3, 1, 64, 64) < 0.9
    points = surface(20_000).points
    for surface_depth in (depth, None):
        fast, slow = (f(points, cams, accepts, surface_depth, 0.1) for f in (land, land_torch))
        assert (fast != slow).float().mean() < 1e-3  # points on the edge of a pixel or of the tolerance
        assert (fast >= 0).float().mean() > 0.2


def test_landing_by_hand():
    cams = orbit(*(torch.tensor([x]) for x in (0.0, 0.0, 2.0, 90.0)), 4, 4)  # focal length 2 pixels
    points = torch.tensor(
        [[0, 0, 0], [0, 0.5, -0.5], [0, -1.99, 1.99], [0, 2.01, 0], [3, 0, 0], [torch.nan, 0, 0], [0, 0, torch.inf]]
    )
    everywhere = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    assert land(points, cams, everywhere)[0].tolist() == [10, 10, 0, -1, -1, -1, -1]
    assert land(points, cams, ~everywhere)[0].tolist() == [-1] * 7
    depth = torch.full((1, 1, 4, 4), 1.8)
    assert land(points[:1], cams, everywhere, depth, 0.21)[0].tolist() == [10]
    assert land(points[:1], cams, everywhere, depth, 0.19)[0].tolist() == [-1]


def test_child_ids_are_unique():
    ids = torch.tensor([0, 1, 7, 100])
    assert len(child_ids(ids, 9).unique()) == 36
