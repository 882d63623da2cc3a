"""The cells of the sphere behind the object: which they are, and that views share their noise at every resolution."""

from functools import partial

import pytest
import torch

from gsd.errors import GsdError
from gsd.geometry import correspond, geometry_at, orbit, project, sample
from gsd.noising.check.reference import cameras, render, surface
from gsd.noising.consistent import Consistent
from gsd.noising.lattice import Lattice
from gsd.noising.points.background import background, before_cube, cells, cells_torch, sides
from gsd.random import Stream

WHOLE = torch.tensor([[[1.0, 0, 0, -9]] * 4], dtype=torch.float64)  # a view that sees every direction
VIEWS = orbit(*torch.tensor([[0.0, 5, 200, 90], [0, 0, 30, 88], [2, 2, 2, 2], [40, 40, 40, 100]]), 24, 24)


def geometry(size, *azimuths):
    cams = cameras(*azimuths, size=size, fov=40, distance=2.2)
    return geometry_at(surface(10), render(cams), cams, size, size)


@pytest.mark.parametrize("radius", [None, 8.0, 2.5])
def test_the_cells_in_view_are_those_whose_centres_are(radius):
    """Against all cells of the sphere, one by one; near the camera some that no view sees may be among them."""
    looking, _ = before_cube(VIEWS, radius)
    ids, points = cells(sides(looking), 60)
    everything, directions = cells(WHOLE, 60)
    assert len(everything.unique()) == 6 * 60**2
    coords, z = project(directions, looking)
    inside = (coords > 1e-3).all(-1) & (coords < 24 - 1e-3).all(-1) & (z > 0)
    assert set(everything[inside.any(0)].tolist()) <= set(ids.tolist())
    assert len(ids) == len(ids.unique())
    if radius is None:
        coords, z = project(points, looking)
        assert ((coords > -1e-3).all(-1) & (coords < 24 + 1e-3).all(-1) & (z > 0)).any(0).all()


@pytest.mark.parametrize("radius", [None, 4.0])
def test_the_kernel_equals_its_twin(radius):
    planes = sides(before_cube(VIEWS, radius)[0])
    (fast, points), (slow, others) = cells(planes, 77), cells_torch(planes, 77)
    order = fast.argsort()
    assert torch.equal(fast[order], slow)
    assert torch.allclose(points[order], others, atol=1e-6)


def test_cells_cover_the_sphere_evenly():
    _, points = cells(WHOLE, 40)
    assert torch.allclose(points.norm(dim=1), torch.ones(len(points)))
    counts = (points @ torch.nn.functional.normalize(torch.randn(200, 3), dim=1).T > 0.95).sum(0)  # in caps
    assert counts.max() < 1.5 * counts.min()


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("radius", [None, 4.0])
@pytest.mark.parametrize("made", [Consistent, Lattice, partial(Lattice, cell=2.0)], ids=["points", "lattice", "coarse"])
def test_one_camera_twice_shares_the_whole_background_at_every_resolution(size, radius, made):
    """With coarse cells the object's pixels share less: few contain a cell's centre."""
    seen = geometry(size, 20.0, 20.0)
    one, other = made(background_radius=radius)(seen, 1, Stream(0, "x"))
    empty = seen.alpha[0, 0] <= 0.5
    assert (one == other)[0, empty].float().mean() > 0.99


def test_a_sphere_at_infinity_turns_with_the_camera_and_a_near_one_shifts_too():
    """The correlation at pixels that see the same place of the sphere, for both ideas of where it is."""
    seen, found = geometry(64, 0.0, 5.0), {}
    spheres = {None: before_cube(seen.cameras, None)[0], 4.0: before_cube(seen.cameras, 4.0)[0]}
    for radius in spheres:
        maps = Consistent(background_radius=radius)(seen, 50, Stream(0, "x"))
        for assumed, cams in spheres.items():
            c, rays = cams.viewmats[0, :3, 3], torch.nn.functional.pad(_centres(64), (0, 1), value=1.0)
            rays = rays @ torch.linalg.inv(cams.Ks[0]).T
            a, b = (rays * rays).sum(-1), rays @ c
            depth = (b + (b * b - a * (c @ c - 1)).sqrt()) / a
            coords, _ = correspond(depth[None, None], cams[:1], cams[1:])
            there = sample(torch.cat([maps[1:], seen.alpha[1:]], 1), coords, "nearest")[0]
            inside = ((coords >= 0) & (coords < 64)).all(-1)[0]
            both = inside & (seen.alpha[0, 0] <= 0.5) & (there[-1] <= 0.5)
            found[radius, assumed] = float((maps[0] * there[:-1]).mean(0)[both].mean())
    assert found[None, None] > 0.5
    assert found[4.0, 4.0] > 0.5
    assert abs(found[None, 4.0]) < 0.05
    assert abs(found[4.0, None]) < 0.05


def _centres(size):
    y, x = torch.meshgrid(*[torch.arange(size) + 0.5] * 2, indexing="ij")
    return torch.stack([x, y], -1)


def test_a_sphere_that_a_camera_is_outside_of_is_refused():
    with pytest.raises(GsdError, match=r"background_radius=2 must be larger .* here 2\.2"):
        background(geometry(16, 0.0, 5.0), 2.0)
