"""Which face each pixel shows: the compiled loop, the torch function, and a ray through every pixel and every face."""

import pytest
import torch
import trimesh

from gsd.geometry import orbit, pixel_centres, project, turntable
from gsd.meshing import triangles
from gsd.meshing.triangles import nearest_torch, rasterise


def soup(count, size, generator):
    """Triangles anywhere in the unit ball, and some without an area."""
    centre = torch.randn(count, 1, 3, generator=generator) * 0.3
    corners = centre + size * torch.randn(count, 3, 3, generator=generator)
    corners[::17, 2] = corners[::17, 1]
    return corners.flatten(0, 1), torch.arange(3 * count).view(-1, 3)


def corners_of(vertices, faces, cameras):
    xy, z = project(vertices.double(), triangles._double(cameras))
    return torch.cat([xy, z[..., None]], -1)[:, faces]


@pytest.mark.parametrize(("size", "distance"), [(0.02, 2.2), (0.3, 2.2), (0.5, 0.3)])
def test_the_compiled_loop_and_the_torch_function_agree_on_every_pixel(size, distance):
    """From 0.3 away, some triangles are behind the camera and some fill the picture."""
    vertices, faces = soup(400, size, torch.Generator().manual_seed(1))
    cameras = turntable(3, 40, distance=distance)
    corners = corners_of(vertices, faces, cameras)
    face = triangles._nearest_compiled(corners, 40, 40)
    assert torch.equal(face, nearest_torch(corners, 40, 40))
    assert 0.02 < (face >= 0).float().mean() <= 1
    assert face.unique().numel() > 7


def rays(cameras):
    """From each camera's eye through every pixel's centre, one unit of z long."""
    pixels = torch.nn.functional.pad(pixel_centres(cameras.height, cameras.width, torch.float64), (0, 1), value=1.0)
    back = cameras.viewmats[:, :3, :3].mT.double()
    to_world = back @ torch.linalg.inv(cameras.Ks.double())
    return -(back @ cameras.viewmats[:, :3, 3:].double())[..., 0], pixels.view(-1, 3) @ to_world.mT


def test_what_is_hit_is_what_a_ray_meets_first():
    """Of all faces, by solving eye + z ray = a + u (b - a) + v (c - a)."""
    vertices, faces = soup(60, 0.2, torch.Generator().manual_seed(2))
    cameras = orbit(*(torch.tensor(x) for x in ([10.0, 130.0], [20.0, -35.0], [2.0, 2.4], [45.0, 45.0])), 20, 16)
    hits = rasterise(vertices, faces, cameras)
    a, b, c = vertices.double()[faces].unbind(1)
    real = torch.linalg.cross(b - a, c - a).norm(dim=-1) > 0
    found = {int(p): k for k, p in enumerate(hits.pixel)}
    eyes, directions = rays(cameras)
    seen = 0
    for view in range(2):
        for pixel in range(16 * 20):
            ray = directions[view, pixel]
            system = torch.stack([b - a, c - a, -ray.expand_as(a)], -1)[real]
            u, v, z = torch.linalg.solve(system, (eyes[view] - a)[real]).unbind(-1)
            inside = (u >= 0) & (v >= 0) & (u + v <= 1)
            k = found.get(view * 16 * 20 + pixel)
            assert (k is not None) == bool(inside.any())
            if k is not None:
                first = torch.where(inside, z, torch.inf).argmin()
                assert int(hits.face[k]) == int(real.nonzero()[first, 0])
                assert float(hits.depth[k]) == pytest.approx(float(z[first]), rel=1e-6)
                weights = torch.stack([1 - u[first] - v[first], u[first], v[first]])
                assert torch.allclose(hits.weights[k].double(), weights, atol=1e-6)
                seen += 1
    assert 100 < seen < 2 * 16 * 20


def test_a_closed_surface_has_no_holes_and_no_pixel_of_its_back():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    vertices, faces = torch.from_numpy(ball.vertices).float(), torch.from_numpy(ball.faces)
    cameras = turntable(4, 64, elevation=0.0)
    hits = rasterise(vertices, faces, cameras)
    eyes, directions = rays(cameras)
    for view in range(4):
        ray, eye = torch.nn.functional.normalize(directions[view], dim=-1), eyes[view]
        apart = torch.linalg.cross(ray, eye.expand_as(ray)).norm(dim=-1)  # of each ray from the centre
        here = hits.pixel // 64**2 == view
        hit = torch.zeros(64**2, dtype=torch.bool)
        hit[hits.pixel[here] - view * 64**2] = True
        assert hit[apart < 0.49].all()
        assert not hit[apart > 0.5].any()
        assert (hits.depth[here] < 2.2).all()


def test_edges_through_pixel_centres_belong_to_someone():
    """A square of two faces whose diagonal and sides run through centres of pixels, seen straight on."""
    cameras = orbit(*(torch.tensor([x]) for x in (0.0, 0.0, 2.0, 40.0)), 16, 16)
    half = 2.0 / float(cameras.Ks[0, 0, 0]) * 4.5  # of 9 pixels, from centre to centre
    y, z = torch.tensor([[-half, -half], [half, -half], [half, half], [-half, half]]).unbind(1)
    vertices = torch.stack([torch.zeros(4), y, z], 1)
    for faces in ([[0, 1, 2], [0, 2, 3]], [[2, 1, 0], [3, 2, 0]], [[0, 1, 3], [1, 2, 3]]):
        for nudge in (0.0, 1e-13):
            corners = corners_of(vertices, torch.tensor(faces), cameras)
            corners[..., :2] = (corners[..., :2] - 0.5).round() + 0.5 + nudge
            face = nearest_torch(corners, 16, 16)
            assert torch.equal(face, triangles._nearest_compiled(corners, 16, 16))
            box = (face[0] >= 0).nonzero()
            rows = box[:, 0].unique()
            assert len(box) == len(rows) ** 2  # nothing is missing
            assert len(rows) >= 9


def test_a_mesh_behind_the_camera_is_not_seen():
    vertices, faces = torch.tensor([[3.0, 0, 0], [3, 1, 0], [3, 0, 1]]), torch.tensor([[0, 1, 2]])
    hits = rasterise(vertices, faces, turntable(1, 16, distance=2.0, elevation=0.0))
    assert len(hits.pixel) == 0
