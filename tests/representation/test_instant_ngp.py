import dataclasses

import pytest
import torch
import torch.nn.functional as F

from gsd.camera.orbit import Orbit
from gsd.errors import GsdError
from gsd.field.hashgrid import encode_torch, weights
from gsd.field.march import cell_of, march, rays_of
from gsd.geometry import turntable
from gsd.menagerie import load
from gsd.menagerie.tracer import trace
from gsd.random import Stream
from gsd.representation.instant_ngp import InstantNGP
from gsd.types import Context, PointCloud

CPU = torch.device("cpu")
TINY = {
    "levels": 4, "log2_table": 11, "base_resolution": 4, "growth": 1.6, "hidden": 16, "samples": 32,
    "occupancy_cells": 16, "active_levels": 4,
}  # fmt: skip
CLOUD = PointCloud(0.3 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.full((40, 3), 0.5))


def ngp(seed=0, **options):
    return InstantNGP(Context(seed=seed, points=CLOUD), **(TINY | options))


def rough(seed=0, **options):
    """A field with something to see: the table is large and the blob a fog, so that every part gets a gradient."""
    made = ngp(seed, **({"blob_density": 6.0} | options))
    torch.nn.init.uniform_(made.radiance.grid.table, -1, 1, generator=torch.Generator().manual_seed(1))
    made._prepare_step()
    return made


def cameras(views=2, resolution=8, step=0):
    return Orbit(views=views, resolution=resolution)(Stream(0, "camera", step))


def whole(made):
    """Nothing is skipped and nothing left out."""
    full = torch.ones_like(made.occupancy.thickness)
    full[0] = 0.0
    made.occupancy.take(full)
    made.termination = 0.0
    return made


def brute_force(made, cams):
    """Every sample of every ray in double precision, dense and in plain torch; with the parameters to differentiate."""
    field = made.radiance
    parameters = {k: p.detach().double().requires_grad_() for k, p in made.named_parameters()}
    rays = rays_of(cams, made.bound)
    generator = Stream(made.seed, "instant_ngp", made.steps_taken).sub("shift").generator()
    shift = torch.rand(len(rays.near), generator=generator)
    k = torch.arange(int(2 * made.bound / made.stride) + 2)
    t = rays.near[:, None] + (k + shift[:, None]) * made.stride
    here = (t < rays.far[:, None]).double()
    t = t.double()
    xyz = (rays.origins.double()[:, None] + t[..., None] * rays.directions.double()[:, None]).flatten(0, 1).T
    levels = weights(field.grid.levels, field.active_levels)
    features = encode_torch(parameters["radiance.grid.table"], xyz / (2 * made.bound) + 0.5, field.grid.levels, levels)[
        0
    ]

    def network(name):
        return parameters[f"radiance.{name}.weights.1"] @ (parameters[f"radiance.{name}.weights.0"] @ features).relu()

    density = F.softplus(network("density_net")[0] + field.blob(xyz)).view(t.shape)
    rgb = network("color_net").sigmoid().view(3, *t.shape)
    kept = torch.exp(-density * made.stride * here)
    before = torch.cat([torch.ones_like(kept[:, :1]), kept.cumprod(1)[:, :-1]], 1)
    w = before * (1 - kept)
    z = t * rays.cosine.double()[:, None]
    alpha = w.sum(1)
    depth = (w * z).sum(1) / alpha.clamp_min(1e-12)
    color = (w * rgb).sum(2) + 1 - alpha
    size = (len(cams), cams.height, cams.width)
    images = torch.cat([color, depth[None], alpha[None]]).unflatten(1, size).transpose(0, 1)
    return images, parameters


def gradients(images, parameters, pull):
    got = torch.autograd.grad((images * pull).sum(), list(parameters.values()))
    return dict(zip(parameters, got, strict=True))


def shown(made, cams):
    render = made.render(cams)
    return torch.cat([render.rgb, render.depth, render.alpha], 1)


@pytest.mark.parametrize("channels", [(0, 1, 2), (3,), (4,), (0, 1, 2, 3, 4)], ids=["rgb", "z", "a", "all"])
def test_images_and_gradients_equal_brute_force(channels):
    made, cams = whole(rough(active_levels=3.5)), cameras()
    ours = shown(made, cams)
    theirs, parameters = brute_force(made, cams)
    assert theirs[:, 4].max() > 0.9
    assert theirs[:, 4].min() < 0.1
    # where there is next to nothing its place is a quotient of next to nothings
    there = (theirs[:, 4:5] > 1e-3).expand_as(theirs)
    assert torch.allclose(ours.double()[there], theirs[there], atol=2e-5)
    pull = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(4)) * there
    mask = torch.zeros(5)
    mask[list(channels)] = 1.0
    pull = pull * mask.view(1, 5, 1, 1)
    ours = gradients(ours, dict(made.named_parameters()), pull)
    theirs = gradients(theirs, parameters, pull)
    for name, expected in theirs.items():
        if "color" in name and channels in ((3,), (4,)):
            assert (ours[name] == 0).all()
            continue
        assert expected.norm() > 0
        assert (ours[name] - expected).norm() < 1e-4 * expected.norm(), name


def test_without_graph_nothing_is_shifted_and_chunks_do_not_matter(monkeypatch):
    made, cams = rough(), cameras(resolution=16)
    with torch.no_grad():
        one = made.render(cams)
        made.steps_taken += 1
        monkeypatch.setattr("gsd.representation.instant_ngp.CHUNK", 100)
        other = made.render(cams)
    assert torch.allclose(one.rgb, other.rgb, atol=1e-5)  # products of other widths round differently
    assert torch.allclose(one.depth, other.depth, atol=1e-5)
    assert one.orientation is None
    assert not torch.equal(made.render(cams).rgb, one.rgb)


def fit(made, steps, resolution=32):
    """Optimise towards pictures of the true corgi."""
    figure = load()["corgi"].figure(0)
    for step in range(steps):
        cams = Orbit(groups=2, views=1, resolution=resolution)(Stream(0, "camera", step))
        render = made.render(cams)
        truth = trace(figure, cams)
        ((render.rgb - truth.rgb).square().mean() + 0.1 * (render.alpha - truth.alpha).square().mean()).backward()
        made.step()
    return made


@pytest.fixture(scope="module")
def corgi():
    torch.set_num_threads(1)
    rates = {"grid_lr": 0.03, "density_lr": 0.005, "color_lr": 0.005}
    return fit(InstantNGP(Context(points=CLOUD), log2_table=13, samples=48, occupancy_cells=40, **rates), 150)


def test_an_animal_is_learnt_from_its_pictures(corgi):
    cams = turntable(6, 32, start=10.0)
    truth = trace(load()["corgi"].figure(0), cams)
    with torch.no_grad():
        render = corgi.render(cams)
    assert -10 * (render.rgb - truth.rgb).square().mean().log10() > 22
    solid = (truth.alpha > 0.99) & (render.alpha > 0.9)
    assert solid.sum() > 500
    assert (render.depth - truth.depth)[solid].abs().median() < 0.075  # 1.5 pixels


def test_the_marcher_skips_empty_space(corgi):
    """At least 80 % of the samples that hold nothing, and next to none that holds something."""
    rays = rays_of(turntable(6, 32, start=10.0), 1.0)
    shift = torch.full_like(rays.near, 0.5)
    grid = corgi.occupancy.occupied
    every = march(rays, shift, corgi.stride, torch.ones_like(grid), 1.0)
    ray = every.rays()
    points = rays.origins[ray] + rays.directions[ray] * every.times[:, None]
    thickness = corgi.field(points)[0] * corgi.stride
    skipped = ~grid[cell_of(points, len(grid), 1.0).unbind(1)]
    assert len(every.times) - len(march(rays, shift, corgi.stride, grid, 1.0).times) == pytest.approx(
        int(skipped.sum()), rel=0.01
    )
    assert skipped[thickness < 0.01].float().mean() > 0.8
    assert skipped[thickness > 0.1].float().mean() < 0.01


def test_skipping_and_stopping_change_little(corgi):
    """With the occupancy grid and early stopping as they are, images are those of every sample."""
    cams = cameras(views=1, resolution=24)
    theirs, parameters = brute_force(corgi, cams)
    ours = shown(corgi, cams)
    off = (ours[:, :3] - theirs[:, :3]).abs()
    assert off.mean() < 0.003
    assert off.max() < 0.1
    pull = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(4))[:, :3]
    got = gradients(ours[:, :3], dict(corgi.named_parameters()), pull)
    for name, expected in gradients(theirs[:, :3], parameters, pull).items():
        assert F.cosine_similarity(got[name].double().flatten(), expected.flatten(), dim=0) > 0.95, name


def test_field_is_what_is_rendered(corgi):
    """Density and colour along one ray, composited by hand."""
    cams = turntable(1, 32)
    rays = rays_of(cams, 1.0)
    middle = 16 * 32 + 16
    t = rays.near[middle] + (torch.arange(48) + 0.5) * corgi.stride
    t = t[t < rays.far[middle]]
    density, rgb = corgi.field(rays.origins[middle] + t[:, None] * rays.directions[middle])
    kept = torch.exp(-density * corgi.stride)
    weight = (1 - kept) * torch.cat([torch.ones(1), kept.cumprod(0)[:-1]])
    with torch.no_grad():
        render = corgi.render(cams)
    expected = (weight[:, None] * rgb).sum(0) + 1 - weight.sum()
    assert torch.allclose(render.rgb[0, :, 16, 16], expected, atol=0.01)
    outside, _ = corgi.field(torch.tensor([[1.1, 0.0, 0.0], [-3.0, 2.0, 1.0]]))
    assert (outside == 0).all()


def test_a_resumed_run_equals_a_straight_one_whatever_the_threads(monkeypatch):
    straight, broken = ngp(background="environment", random_background=0.5), None
    fit(straight, 7, 12)
    first = fit(ngp(background="environment", random_background=0.5), 3, 12)
    broken = ngp(background="environment", random_background=0.5)
    broken.restore(first.state())
    monkeypatch.setenv("GSD_THREADS", "2")
    figure = load()["corgi"].figure(0)
    for step in range(3, 7):
        cams = Orbit(groups=2, views=1, resolution=12)(Stream(0, "camera", step))
        render, truth = broken.render(cams), trace(figure, cams)
        ((render.rgb - truth.rgb).square().mean() + 0.1 * (render.alpha - truth.alpha).square().mean()).backward()
        broken.step()
    for (name, a), b in zip(straight.named_parameters(), broken.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert torch.equal(straight.occupancy.thickness, broken.occupancy.thickness)
    with pytest.raises(GsdError, match="other parameters"):
        ngp(hidden=8).restore(first.state())


def test_seeds_differ_and_repeat():
    one, same, other = (ngp(seed).radiance.grid.table for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_points_are_the_scene_and_stay():
    made = fit(ngp(), 2, 8)
    scene = made.scene()
    assert torch.equal(scene.points, CLOUD.xyz)
    assert scene.scales is None
    assert scene.quats is None
    assert torch.equal(scene.ids, torch.arange(40))


def test_backgrounds():
    cams = dataclasses.replace(cameras(views=4), group=torch.tensor([0, 0, 1, 1]))
    empty = {"blob_density": -30.0, "blob_radius": 5.0}
    assert (ngp(**empty).render(cams).rgb == 1).all()
    assert (ngp(background="black", **empty).render(cams).rgb == 0).all()
    drawn = ngp(random_background=1.0, **empty)
    rgb = drawn.render(cams).rgb
    assert torch.equal(rgb[0], rgb[1])
    assert not torch.equal(rgb[0], rgb[2])
    assert rgb[0].flatten(1).std(1).max() == 0
    with torch.no_grad():
        assert (drawn.render(cams).rgb == 1).all()
    sky = ngp(background="environment", **empty)
    rgb = sky.render(cams).rgb
    assert rgb[0].flatten(1).std(1).min() > 0
    rgb.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in sky.environment.parameters())


def test_orientation_is_what_looks_away():
    """A ball seen from outside looks towards the camera in front; every sample behind its middle looks away."""
    made, cams = whole(ngp(normals="analytic", blob_density=2.0)), cameras(resolution=16)
    orientation = made.render(cams).orientation[:, 0]
    rays = rays_of(cams, 1.0)
    middle = 8 * 16 + 8
    generator = Stream(0, "instant_ngp", 0).sub("shift").generator()
    shift = torch.rand(len(rays.near), generator=generator)[middle]
    t = rays.near[middle] + (torch.arange(34) + shift) * made.stride
    xyz = (rays.origins[middle] + t[:, None] * rays.directions[middle])[t < rays.far[middle]]
    kept = torch.exp(-F.softplus(2 * (1 - xyz.norm(dim=1) / 0.5)) * made.stride)
    weight = (1 - kept) * torch.cat([torch.ones(1), kept.cumprod(0)[:-1]])
    away = (F.normalize(xyz, dim=1) @ rays.directions[middle]).clamp_min(0).square()
    assert torch.isclose(orientation.flatten()[middle], (weight * away).sum(), rtol=0.02)
    orientation.sum().backward()
    assert made.radiance.density_net.weights[0].grad.abs().sum() > 0
    assert all(p.grad is None or (p.grad == 0).all() for p in made.radiance.color_net.parameters())


def test_plain_torch_does_the_same(monkeypatch):
    """What runs on CUDA, here on the CPU."""
    made, cams = rough(blob_density=10.0), cameras()
    ours = shown(made, cams)
    pull = torch.randn(ours.shape, generator=torch.Generator().manual_seed(4)) * (ours[:, 4:5] > 1e-3)
    got = gradients(ours, dict(made.named_parameters()), pull)
    for module in ("hashgrid", "march", "composite"):
        monkeypatch.setattr(f"gsd.field.{module}.compiled", lambda x: False)
    theirs = shown(made, cams)
    close = (ours - theirs).abs() < 1e-4
    assert close.float().mean() > 0.99  # a sample on the face of an empty cell may be counted to either
    for name, expected in gradients(theirs, dict(made.named_parameters()), pull).items():
        assert F.cosine_similarity(got[name].flatten(), expected.flatten(), dim=0) > 0.999, name
