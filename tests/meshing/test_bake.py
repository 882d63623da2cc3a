import math

import numpy as np
import pytest
import torch
from made_surfaces import Ellipsoid

from gsd.geometry import sample
from gsd.meshing import bake, views
from gsd.meshing.atlas import REACH, texels, unwrapped
from gsd.meshing.bake import coloured, textured
from gsd.meshing.bake_kernels import blend
from gsd.meshing.depth import surface_of_depth
from gsd.meshing.mesh import normals, simplified
from gsd.meshing.views import blend_torch

CPU = torch.device("cpu")
WAVE = 0.1  # world units


def stripes(xyz):
    """Finer than the vertices of the mesh, coarser than the pixels of the views."""
    return (0.5 + 0.4 * torch.sin(2 * math.pi * xyz[:, 2:] / WAVE)).expand(-1, 3)


@pytest.fixture(scope="module")
def striped():
    """A surface with vertices about half a wave apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "AZIMUTHS", 8)
        patch.setattr(views, "PIXELS", 256)
        yield surface_of_depth(Ellipsoid(colour=stripes), 20, CPU)


def points_of(mesh, values):
    """Random points of a surface, and any values of the vertices there."""
    torch.manual_seed(0)
    face = torch.randint(len(mesh.faces), (4000,))
    shares = torch.distributions.Dirichlet(torch.ones(3)).sample((4000,))[:, :, None]
    return [(x[mesh.faces[face]] * shares).sum(1) for x in (mesh.vertices, values)]


def rms(x):
    return x.square().mean().sqrt().item()


def test_a_texture_shows_detail_that_vertices_cannot(striped, monkeypatch):
    monkeypatch.setattr(bake, "SIDE", 512)
    monkeypatch.setattr(bake, "FACES", 1000)
    mesh = textured(striped)
    assert len(mesh.faces) < len(striped.faces)
    points, uv = points_of(mesh, mesh.uv)
    shown = sample(mesh.texture.permute(2, 0, 1)[None], 512 * uv[None, None], "bilinear")[0, :, 0].T
    on_vertices = coloured(striped)
    points_between, rgb = points_of(on_vertices, on_vertices.rgb)
    assert rms(shown - stripes(points)) < 0.4 * rms(rgb - stripes(points_between))


def test_every_texel_has_a_colour_of_the_surface(striped, monkeypatch):
    """White lies between the charts of no view and black in no scene: dilation reaches every texel."""
    monkeypatch.setattr(bake, "SIDE", 256)
    texture = textured(striped).texture
    assert texture.min() > 0.05
    assert (texture > 0.97).float().mean() < 0.01  # the views' background, at silhouettes


def test_the_compiled_rasteriser_equals_a_search_through_all_triangles(striped):
    side = 64
    atlas = unwrapped(*simplified(striped.vertices, striped.faces, 400), side)
    face, weights = texels(atlas.faces, atlas.uv, side)
    centres = torch.stack(torch.meshgrid(*[torch.arange(side) + 0.5] * 2, indexing="xy"), -1).view(-1, 1, 2)
    corners = side * atlas.uv[atlas.faces]
    a, b, c = corners.unbind(1)

    def cross(p, q):
        return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]

    area = cross(b - a, c - a)
    second, third = cross(centres - a, c - a) / area, cross(b - a, centres - a) / area
    inside = torch.minimum(1 - second - third, torch.minimum(second, third)).nan_to_num(-1).amax(1) > 0
    from_edges = []
    for p, q in ((a, b), (b, c), (c, a)):
        along = (((centres - p) * (q - p)).sum(-1) / (q - p).square().sum(-1).clamp_min(1e-12)).clamp(0, 1)
        from_edges.append((centres - p - along[..., None] * (q - p)).norm(dim=-1).amin(1))
    away = torch.where(inside, 0.0, torch.stack(from_edges).amin(0))
    taken = (face >= 0).flatten()
    sure = (away - REACH).abs() > 1e-3
    assert (taken == (away < REACH))[sure].all()
    assert 0.3 < inside.float().mean() < taken.float().mean() < 1
    weights = weights.view(-1, 3)[taken]
    assert weights.min() >= 0
    assert torch.allclose(weights.sum(1), torch.ones(len(weights)), atol=1e-4)
    at = (corners[face.flatten()[taken]] * weights[:, :, None]).sum(1)
    assert ((at - centres[taken, 0]).norm(dim=-1) - away[taken]).abs().max() < 2e-2


def test_the_compiled_blending_equals_the_plain_one(striped):
    (cameras, show), tolerance = striped.views[3], striped.tolerance
    outward = normals(striped.vertices, striped.faces)
    seen = torch.cat([show.rgb, show.depth, show.alpha * torch.rand(show.alpha.shape)], 1)
    count = len(outward)
    mine, plain = ((torch.zeros(count, 3), torch.zeros(count)) for _ in range(2))
    blend_torch(striped.vertices, outward, cameras, seen, tolerance, *plain)
    blend(
        striped.vertices.numpy(),
        outward.numpy(),
        (cameras.Ks[0] @ cameras.viewmats[0, :3]).numpy(),
        seen[0].permute(1, 2, 0).contiguous().numpy(),
        np.float32(tolerance),
        *(x.numpy() for x in mine),
    )
    assert (plain[1] > 0).float().mean() > 0.2
    at_the_threshold = (mine[1] > 0) != (plain[1] > 0)
    assert at_the_threshold.float().mean() < 1e-3
    for x, y in zip(mine, plain, strict=True):
        torch.testing.assert_close(x[~at_the_threshold], y[~at_the_threshold], atol=1e-4, rtol=0)


def test_the_object_fills_the_pictures_and_no_view_cuts_it_off():
    """It is 1 world unit long; a picture of the unit ball shows 2.2."""
    extents = []
    for _, show in views.pictures(Ellipsoid().render, CPU, 0.04):
        rows, columns = (show.alpha[0, 0] > 0.5).nonzero().T
        assert min(rows.min(), columns.min()) > 0
        assert max(rows.max(), columns.max()) < views.PIXELS - 1
        extents.append((columns.max() - columns.min()).item() / views.PIXELS)
    assert max(extents) > 0.65
