import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from fast_simplification import simplify
from made_runs import blobs
from made_surfaces import RADII, Ellipsoid, colour

from gsd.errors import GsdError
from gsd.meshing import views
from gsd.meshing.bake import coloured
from gsd.meshing.depth import fuse_torch, surface_of_depth
from gsd.meshing.field import surface_of_field
from gsd.meshing.fusion_kernels import fuse
from gsd.meshing.mesh import simplified, surface
from gsd.rasterizer import rasterize
from gsd.types import Render

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _few_views(monkeypatch):
    monkeypatch.setattr(views, "PIXELS", 160)
    monkeypatch.setattr(views, "AZIMUTHS", 12)
    monkeypatch.setattr(views, "ELEVATIONS", (-60.0, -20.0, 20.0, 60.0))


def distance(vertices):
    """About the signed distance from the ellipsoid."""
    level = (vertices / RADII).norm(dim=-1)
    return (level - 1) * vertices.norm(dim=-1) / level


def check(found, spacing):
    mesh = coloured(found)
    assert distance(mesh.vertices).abs().max() < spacing
    assert (mesh.rgb - colour(mesh.vertices)).abs().max() < 0.05
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * math.pi * RADII.prod().item(), rel=0.03)  # above 0: faces look out
    outward = torch.nn.functional.normalize(mesh.vertices / RADII**2, dim=-1)
    assert (mesh.normals * outward).sum(-1).quantile(0.01) > 0.95


def test_marching_cubes_of_a_field():
    check(surface_of_field(Ellipsoid(), 48, 10.0, CPU), 0.2 * 2 / 47)


class Haze:
    """A ball of constant density, whose rays end where light has fallen to a half: `depth` below its surface."""

    RADIUS = 0.5

    def __init__(self, density):
        self.density, self.depth = density, math.log(2) / density

    def field(self, xyz):
        edge = 0.05  # world units over which the density falls to nothing
        inside = ((self.RADIUS - xyz.norm(dim=-1)) / edge).clamp(0, 1)
        return self.density * inside, torch.zeros_like(xyz)

    def render(self, cameras):
        return Ellipsoid(torch.full((3,), self.RADIUS - self.depth)).render(cameras)


@pytest.mark.parametrize("density", [8.0, 80.0])
def test_without_a_level_the_surface_is_where_rays_end_however_dense_the_field(density):
    """A fixed level of 10 finds nothing in the thin one."""
    mesh = coloured(surface_of_field(Haze(density), 48, None, CPU))
    radii = mesh.vertices.norm(dim=-1)
    assert radii.mean().item() == pytest.approx(0.5, abs=0.06)
    assert radii.std() < 0.02
    assert (mesh.rgb - colour(mesh.vertices)).abs().max() < 0.12  # what shows, from a little below the surface


class Everywhere(Ellipsoid):
    def __init__(self, density):
        super().__init__()
        self.density = density

    def field(self, xyz):
        return torch.full((len(xyz),), self.density), torch.zeros_like(xyz)


def test_a_field_that_reaches_the_border_is_closed():
    mesh = surface_of_field(Everywhere(20.0), 9, 10.0, CPU)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight
    assert mesh.vertices.abs().max() < 1.2


def test_a_surface_through_the_points_of_the_grid_is_closed_where_vertices_at_one_place_are_one():
    """As other programs read it: triangles without an area would leave edges with four faces."""
    steps = torch.arange(-5.0, 6.0)
    volume = 4 - torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).abs().sum(0)
    vertices, faces = surface(volume, 0.0, torch.full((3,), -5.0), 1.0)
    assert trimesh.Trimesh(vertices.numpy(), faces.numpy()).is_watertight


def test_fusion_of_depth():
    check(surface_of_depth(Ellipsoid(), 40, CPU), 1 / 40)


def test_the_compiled_fusion_equals_the_plain_one():
    cameras = views.around(CPU)[30].resized(50, 50)
    show, low, spacing = Ellipsoid().render(cameras), torch.tensor([-0.7, -0.6, -0.8]), 0.11
    depth, solid = show.depth[0, 0], show.alpha[0, 0] > 0.5
    mine, plain = torch.zeros(2, 13, 11, 14), torch.zeros(2, 13, 11, 14)
    fuse_torch(low, spacing, cameras, depth, solid, *plain)
    sizes = np.float32(spacing), np.float32(3 * spacing)
    P = (cameras.Ks[0] @ cameras.viewmats[0, :3]).numpy()
    fuse(low.numpy(), sizes[0], P, depth.numpy(), solid.numpy(), sizes[1], *(x.numpy() for x in mine))
    assert plain[1].sum() > plain[1].numel() / 2
    torch.testing.assert_close(mine, plain, atol=1e-5, rtol=0)


def test_nothing_to_show():
    with pytest.raises(GsdError, match=r"nowhere denser than 1; ask .* with --level"):
        surface_of_field(Everywhere(1.0), 9, 10.0, CPU)

    class Nothing(Everywhere):
        def render(self, cameras):
            blank = torch.zeros(1, 1, cameras.height, cameras.width)
            return Render(blank.expand(-1, 3, -1, -1), blank, blank)

    with pytest.raises(GsdError, match="nowhere more than half opaque"):
        surface_of_depth(Nothing(1.0), 16, CPU)
    with pytest.raises(GsdError, match=r"nowhere more than half opaque; ask .* --level"):
        surface_of_field(Nothing(1.0), 9, None, CPU)


def test_floaters_are_left_out():
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 40)] * 3, indexing="ij"), -1)
    far = torch.tensor([0.8, 0.8, 0.8])
    balls = torch.maximum(0.6 - grid.norm(dim=-1), 0.05 - (grid - far).norm(dim=-1))
    vertices, faces = surface(balls, 0.0, torch.full((3,), -1.0), 2 / 39)
    assert vertices.norm(dim=-1).max() < 0.65
    assert faces.unique().numel() == len(vertices)


def test_fewer_faces_on_the_same_surface():
    found = surface_of_field(Ellipsoid(), 48, 10.0, CPU)
    vertices, faces = simplified(found.vertices, found.faces, 1500)
    assert len(faces) == pytest.approx(1500, abs=2)
    solid = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    before = trimesh.Trimesh(found.vertices.numpy(), found.faces.numpy(), process=False)
    assert solid.volume == pytest.approx(before.volume, rel=0.01)
    assert distance(vertices).abs().max() < 2 / 47
    assert simplified(vertices, faces, 2000)[1] is faces


def test_a_surface_stays_closed_where_simplification_makes_it_touch_itself():
    """A thin sheet full of tunnels."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 24)] * 3, indexing="ij"), -1)
    waves = ((5 * grid).sin() * (5 * grid.roll(-1, -1)).cos()).sum(-1)
    found = surface(torch.minimum(0.25 - waves.abs(), 0.9 - grid.norm(dim=-1)), 0.0, torch.full((3,), -1.0), 2 / 23)
    raw = simplify(found[0].numpy(), found[1].int().numpy(), target_count=400, agg=3)
    assert not trimesh.Trimesh(*raw, process=False).is_watertight
    vertices, faces = simplified(*found, 400)
    solid = trimesh.Trimesh(vertices.numpy(), faces.numpy())  # vertices at one place are one, as in other programs
    assert solid.is_watertight
    assert solid.volume == pytest.approx(trimesh.Trimesh(*raw, process=False).volume, rel=1e-5)


def test_a_ball_that_is_one_gaussian_is_not_carved_to_its_middle(monkeypatch):
    """A rasteriser gives it the depth of its centre; its surface is where it is half as dense as there."""

    class Ball:
        def splats(self):
            return replace(blobs(size=0.3), opacity_logits=torch.full((1,), 9.0))

        def render(self, cameras):
            s = self.splats()
            gaussians = (s.means, s.quats, s.log_scales.exp(), s.opacity_logits.sigmoid(), torch.ones(1, 3))
            drawn, alpha, _ = rasterize(*gaussians, cameras.viewmats, cameras.Ks, cameras.width, cameras.height)
            drawn, alpha = drawn.permute(0, 3, 1, 2), alpha.permute(0, 3, 1, 2)
            return Render(drawn[:, :3], drawn[:, 3:], alpha)

    monkeypatch.setattr(views, "PIXELS", 96)
    mesh = surface_of_depth(Ball(), 32, CPU)
    half = 0.3 * math.sqrt(2 * math.log(2))
    radii = mesh.vertices.norm(dim=-1)
    assert radii.mean().item() == pytest.approx(half, rel=0.12)
    assert radii.min() > 0.85 * half
