"""Points on a mesh, and a mesh around points."""

import pytest
import torch

from gsd.meshing.balls import mesh_around
from gsd.meshing.extract import points_on
from gsd.meshing.mesh import TexturedMesh
from gsd.types import PointCloud


def test_points_lie_on_the_mesh_by_area_in_its_colours():
    """Two triangles, one of three times the other's area; red grows along u, green along v."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -3, 1], [1, 0, 1]])
    uv = torch.tensor([[0.1, 0.1], [0.4, 0.1], [0.1, 0.4], [0.6, 0.6], [0.6, 0.9], [0.9, 0.6]])
    ramp = (torch.arange(64) + 0.5) / 64
    texture = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64)], -1)
    mesh = TexturedMesh(vertices, vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), uv, texture)
    cloud = points_on(mesh, 4000, torch.Generator().manual_seed(0))
    x, y, z = cloud.xyz.unbind(1)
    assert torch.allclose(z, z.round(), atol=1e-6)
    assert float((z < 0.5).float().mean()) == pytest.approx(0.25, abs=0.03)
    low = z < 0.5
    assert torch.allclose(cloud.rgb[low, :2], 0.1 + 0.3 * torch.stack([x, y], 1)[low], atol=1e-5)
    assert torch.allclose(cloud.rgb[~low, 1], 0.6 - 0.1 * y[~low], atol=1e-5)
    for part, centre in ((low, [1 / 3, 1 / 3]), (~low, [1 / 3, -1.0])):  # evenly over each
        assert torch.allclose(cloud.xyz[part, :2].mean(0), torch.tensor(centre), atol=0.07)
        assert (cloud.xyz[part, 0] + cloud.xyz[part, 1].abs() / (1 if part is low else 3) <= 1 + 1e-5).all()
    again = points_on(mesh, 4000, torch.Generator().manual_seed(0))
    assert torch.equal(again.xyz, cloud.xyz)


def test_a_mesh_around_points_of_a_sphere_is_a_closed_sphere_in_their_colours():
    xyz = 0.4 * torch.nn.functional.normalize(torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    mesh = mesh_around(PointCloud(xyz, 0.5 + xyz), 48, 2000, 64)
    outside = mesh.vertices.norm(dim=-1) > 0.4
    assert mesh.vertices[outside].norm(dim=-1).max() < 0.46
    assert 0.5 < outside.float().mean() <= 1  # it may be hollow
    facing = (mesh.normals * mesh.vertices).sum(-1)
    assert (facing[outside] > 0).float().mean() > 0.98
    cloud = points_on(mesh, 500, torch.Generator().manual_seed(0))
    assert (cloud.rgb - 0.5 - cloud.xyz).abs().mean() < 0.05
    single = mesh_around(PointCloud(torch.zeros(1, 3), torch.ones(1, 3)), 16, 500, 32)
    assert single.vertices.norm(dim=-1).max() < 0.25
