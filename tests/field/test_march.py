import torch

from gsd.camera.orbit import Orbit
from gsd.field.march import cell_of, lit, march, march_torch, rays_of
from gsd.geometry import project, unproject
from gsd.random import Stream


def world(seed=0, cells=12, size=16):
    cameras = Orbit(groups=2, views=2, resolution=size, distance=(1.5, 3.0), fov=(30.0, 70.0))(Stream(seed, "camera"))
    g = torch.Generator().manual_seed(seed)
    occupied = torch.rand(cells, cells, cells, generator=g) < 0.4
    return cameras, occupied, torch.rand(len(cameras) * size * size, generator=g)


def test_rays_go_through_pixel_centres():
    cameras = world()[0]
    rays = rays_of(cameras, 1.0)
    z = torch.full((len(cameras), 1, 16, 16), 1.7)
    there = unproject(z, cameras).flatten(0, 2)
    along = rays.origins + rays.directions * (1.7 / rays.cosine)[:, None]
    assert torch.allclose(along, there, atol=1e-5)
    assert torch.allclose(rays.directions.norm(dim=1), torch.ones(len(along)))


def test_rays_are_cut_by_the_ball():
    rays = rays_of(world()[0], 0.6)
    hit = rays.far > rays.near
    assert 0 < hit.sum() < len(hit)
    for ends in (rays.near, rays.far):
        where = rays.origins + rays.directions * ends[:, None]
        assert torch.allclose(where[hit].norm(dim=1), torch.tensor(0.6), atol=1e-4)
    closest = rays.origins - (rays.origins * rays.directions).sum(1, keepdim=True) * rays.directions
    assert (closest.norm(dim=1)[~hit] > 0.6 - 1e-4).all()


def test_a_camera_inside_the_ball_looks_only_forward():
    cameras = Orbit(groups=1, views=1, resolution=4, distance=(0.3, 0.3))(Stream(0, "camera"))
    rays = rays_of(cameras, 1.0)
    assert (rays.near > 0).all()
    assert (rays.near < 0.01).all()


def test_the_kernel_equals_the_twin():
    for seed in range(3):
        cameras, occupied, shift = world(seed)
        rays = rays_of(cameras, 1.0)
        ours, theirs = march(rays, shift, 0.05, occupied, 1.0), march_torch(rays, shift, 0.05, occupied, 1.0)
        # A sample on the face between two cells may be counted to either.
        counts = ours.offsets.diff() - theirs.offsets.diff()
        same = counts == 0
        assert same.float().mean() > 0.99
        assert counts.abs().max() <= 1
        one, other = ours.times[same[ours.rays()]], theirs.times[same[theirs.rays()]]
        assert torch.allclose(one, other, atol=1e-5)


def test_samples_are_in_order_in_the_ball_and_in_occupied_cells():
    cameras, occupied, shift = world()
    rays = rays_of(cameras, 1.0)
    samples = march(rays, shift, 0.05, occupied, 1.0)
    ray = samples.rays()
    points = rays.origins[ray] + rays.directions[ray] * samples.times[:, None]
    assert (points.norm(dim=1) < 1 + 1e-5).all()
    assert occupied[cell_of(points, 12, 1.0).unbind(1)].float().mean() > 0.999
    same = ray.diff() == 0
    gaps = samples.times.diff()[same] / 0.05
    assert torch.allclose(gaps, gaps.round(), atol=1e-3)
    assert (gaps > 0.9).all()
    view = ray // 256
    image, z = project(points, cameras)
    there = image[view, torch.arange(len(points))].floor().long()
    assert (there[:, 1] * 16 + there[:, 0] == ray % 256).all()
    assert torch.allclose(z[view, torch.arange(len(points))], samples.times * rays.cosine[ray], atol=1e-5)


def test_full_and_empty_grids():
    cameras, occupied, shift = world()
    rays = rays_of(cameras, 1.0)
    every = march(rays, shift, 0.05, torch.ones_like(occupied), 1.0).offsets.diff()
    length = (rays.far - rays.near) / 0.05
    assert ((every - length).abs() <= 1).all()
    nothing = march(rays, shift, 0.05, torch.zeros_like(occupied), 1.0)
    assert len(nothing.times) == 0
    assert (nothing.offsets == 0).all()


def test_samples_kept_stay_with_their_rays():
    cameras, occupied, shift = world()
    samples = march(rays_of(cameras, 1.0), shift, 0.05, occupied, 1.0)
    remaining = torch.exp(-samples.times)
    mask = remaining > 0.2
    kept, chosen = lit(samples, remaining, 0.2)
    assert 0 < len(chosen) < len(mask)
    assert torch.equal(kept.rays(), samples.rays()[mask])
    assert torch.equal(kept.offsets.diff(), torch.bincount(kept.rays(), minlength=len(kept.offsets) - 1))
    assert torch.equal(kept.times, samples.times[mask])
    assert torch.equal(kept.times, samples.times[chosen])
