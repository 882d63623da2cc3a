from dataclasses import replace

import pytest
import torch
from warps import drawn

from gsd.geometry import geometry_at
from gsd.noising.check.reference import cameras, render, surface
from gsd.noising.lattice import Lattice
from gsd.noising.points.cells import surface_cells
from gsd.noising.points.local import NOWHERE
from gsd.random import Stream
from gsd.types import Render


@pytest.mark.parametrize(("rendered", "size", "rays"), [(32, 32, 2), (32, 32, 3), (96, 32, 2), (48, 32, 1)])
def test_cells_where_rays_end_equal_their_twin(rendered, size, rays):
    cams = cameras(0.0, 5.0, size=rendered)
    seen = geometry_at(surface(10), render(cams), cams, size, size)
    exact = replace(seen, depth=seen.depth.double(), alpha=seen.alpha.double(), cameras=in_double(seen.cameras))
    exact = replace(exact, render=replace(seen.render, depth=seen.render.depth.double()))
    fast, slow = (surface_cells(each, 0.5, rays, 0.1) for each in (seen, exact))
    order, found = fast.ids.argsort(), slow.ids < NOWHERE
    assert torch.equal(fast.ids[order], slow.ids[found])
    assert torch.allclose(fast.points[order], slow.points[found].float(), atol=1e-6)
    assert slow.points[~found].isnan().all()
    assert len(fast.ids) > 300


def in_double(cams):
    return replace(cams, viewmats=cams.viewmats.double(), Ks=cams.Ks.double())


def test_knows_nothing_of_points():
    cams = cameras(0.0, 5.0, size=32)
    args = (render(cams), cams, (2, 3, 32, 32), Stream(0, "x"))
    assert torch.equal(drawn(Lattice(), surface(10), *args), drawn(Lattice(), surface(5000), *args))


def test_renders_finer_than_the_maps_are_used():
    cams = cameras(0.0, 5.0, size=256)
    maps = drawn(Lattice(), surface(1), render(cams), cams, (2, 200, 64, 64), Stream(0, "x"))
    assert (maps.var() - 1).abs() < 5 * (2 / maps.numel()) ** 0.5
    inside = torch.nn.functional.interpolate(render(cams).alpha, (64, 64), mode="area")[0, 0] == 1
    assert (maps[0] * maps[1]).mean(0)[inside].mean() > 0.1  # the same pixel of neighbouring views


@pytest.mark.parametrize("size", [1, 7])
def test_nothing_to_see_is_fresh_noise(size):
    cams = cameras(0.0, 5.0, size=size)
    shown = render(cams)
    for alpha in (torch.zeros_like(shown.alpha), torch.full_like(shown.alpha, torch.nan)):
        empty = Render(shown.rgb, torch.zeros_like(shown.depth), alpha)
        for background in ("sphere", "fresh"):
            maps = drawn(Lattice(background=background), surface(1), empty, cams, (2, 4, size, size), Stream(0, "x"))
            assert maps.isfinite().all()
            assert (maps != 0).all()
