import pytest
import torch

from gsd.errors import GsdError
from gsd.noising.check.reference import surface
from gsd.noising.points.canvas import Cloud
from gsd.noising.points.local import _grid, frames, frames_torch
from gsd.types import Scene


def bare(points):
    return Scene(points, torch.arange(len(points)))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 50, 5000])
@pytest.mark.parametrize("offsets", ["isotropic", "tangent"])
def test_kernel_equals_its_twin(count, offsets):
    points = surface(max(count, 1)).points[:count]
    found = frames(bare(points), offsets, 0.5)
    assert found.shape == (count, 3, 3)
    assert found.isfinite().all()
    assert torch.allclose(found, frames_torch(points, *_grid(points), offsets, 0.5), atol=1e-6)


def test_spacing_is_that_of_the_surface():
    sphere = torch.nn.functional.normalize(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for radius in (0.1, 3.0):  # whatever the units
        found = frames(bare(radius * sphere), "isotropic", 1.0)
        spacing = radius * (4 * torch.pi / 4000) ** 0.5
        assert found[:, 0, 0].median() == pytest.approx(spacing, rel=0.1)
        assert torch.equal(found[:, 0, 0, None, None] * torch.eye(3), found)


def test_in_world_units_the_spread_is_what_it_says():
    cloud = Cloud(torch.zeros(5000, 3), frames(bare(torch.rand(5000, 3)), "world", 0.05), torch.arange(5000), 4, 7)
    u = cloud.places().flatten(0, 1)
    assert u.std(0) == pytest.approx(0.05, rel=0.02)
    assert torch.equal(frames(bare(100 * torch.rand(3, 3)), "world", 0.05), 0.05 * torch.eye(3).expand(3, 3, 3))


def test_tangent_frames_lie_in_the_surface():
    sphere = torch.nn.functional.normalize(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    found = frames(bare(sphere), "tangent", 1.0)
    size = torch.linalg.matrix_norm(found) / 2**0.5
    along = (found @ sphere[..., None]).norm(dim=(1, 2))
    assert (along / size).median() < 0.1
    assert size.median() == pytest.approx((4 * torch.pi / 4000) ** 0.5, rel=0.1)


def test_points_in_a_volume_have_no_tangent():
    cube = torch.rand(8000, 3, generator=torch.Generator().manual_seed(0))
    variances = torch.linalg.eigvalsh(frames(bare(cube), "tangent", 1.0))
    assert (variances[:, 0] / variances[:, 2]).median() > 0.5


def test_covariance_is_the_gaussians_own():
    scene = surface(300)
    L = frames(scene, "covariance", 2.0)
    values = torch.linalg.eigvalsh(L @ L.mT)
    assert torch.allclose(values.sqrt(), 2 * scene.scales.sort(1).values, rtol=1e-3, atol=1e-5)
    with pytest.raises(GsdError, match="offsets=tangent"):
        frames(bare(scene.points), "covariance", 1.0)


def test_stray_and_broken_points_do_not_matter():
    points = surface(2000).points
    stray = torch.tensor([[1e4, 0, 0], [torch.nan, 0, 0], [0, torch.inf, 0], [1e30, 0, 0]])
    found = frames(bare(torch.cat([points, stray])), "tangent", 0.5)
    assert found.isfinite().all()
    assert torch.allclose(
        torch.linalg.matrix_norm(found[:2000]).median(),
        torch.linalg.matrix_norm(frames(bare(points), "tangent", 0.5)).median(), rtol=0.05,
    )  # fmt: skip
