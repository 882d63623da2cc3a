"""The tracer against a slow numpy twin and against what geometry says of a sphere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsd.geometry import orbit
from gsd.menagerie import Ellipsoids, load, trace
from gsd.menagerie.tracer import GROUND, KEY, KEY_LIGHT, SKY


def _cameras(azimuth, elevation=15.0, distance=2.2, fov=40.0, width=20, height=16):
    full = torch.ones(len(azimuth))
    return orbit(torch.tensor(azimuth), elevation * full, distance * full, fov * full, width, height)


def _random(seed: int, count: int = 7) -> Ellipsoids:
    rng = np.random.default_rng(seed)
    rotations = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    rotations[:, :, 0] *= np.linalg.det(rotations)[:, None]
    radii = rng.uniform(0.03, 0.5, (count, 3))
    return Ellipsoids(
        rng.normal(0, 0.3, (count, 3)), rotations, radii, rng.uniform(0, 1, (count, 3)), np.zeros(count, bool)
    )


def _sphere(radius: float, centre=(0.0, 0.0, 0.0)) -> Ellipsoids:
    return Ellipsoids(
        np.array([centre]), np.eye(3)[None], np.full((1, 3), radius), np.full((1, 3), 0.5), np.ones(1, bool)
    )


def _twin(shape: Ellipsoids, cameras, supersample, background):
    """Every ray against every ellipsoid, in world coordinates."""
    images = []
    for viewmat, K in zip(cameras.viewmats.double().numpy(), cameras.Ks.double().numpy(), strict=True):
        steps = (np.arange(cameras.height * supersample) + 0.5) / supersample
        across = (np.arange(cameras.width * supersample) + 0.5) / supersample
        v, u = np.meshgrid((steps - K[1, 2]) / K[1, 1], (across - K[0, 2]) / K[0, 0], indexing="ij")
        rays = np.stack([u, v, np.ones_like(u)], -1) @ viewmat[:3, :3]
        origin = -viewmat[:3, :3].T @ viewmat[:3, 3]
        colour, depth = np.broadcast_to(np.array(background), (*u.shape, 3)).copy(), np.full(u.shape, np.inf)
        for n in range(len(shape)):
            squash = (shape.rotations[n] / shape.radii[n]).T
            d, o = rays @ squash.T, squash @ (origin - shape.centres[n])
            a, b, c = (d * d).sum(-1), d @ o, o @ o - 1
            with np.errstate(invalid="ignore"):
                z = (-b - np.sqrt(b * b - a * c)) / a
            nearer = (z > 1e-3) & (z < depth)
            normal = (o + z[..., None] * d) @ squash
            normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
            light = GROUND + (SKY - GROUND) * (1 + normal[..., 2]) / 2 + KEY * np.maximum(0, normal @ KEY_LIGHT) ** 2
            colour[nearer] = np.minimum(1, shape.colours[n] * light[nearer][:, None])
            depth[nearer] = z[nearer]
        images.append(np.concatenate([colour, depth[..., None]], -1))
    rays = np.stack(images).reshape(len(images), cameras.height, supersample, cameras.width, supersample, 4)
    hit = np.isfinite(rays[..., 3])
    hits = hit.sum((2, 4))
    mean = np.where(hit, rays[..., 3], 0).sum((2, 4)) / np.maximum(hits, 1)
    return rays[..., :3].mean((2, 4)), mean, hits / supersample**2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.25, 0.7, 2.2]), st.integers(1, 3))
def test_equals_the_numpy_twin_even_with_the_camera_among_the_ellipsoids(seed, distance, supersample):
    shape, cameras = _random(seed), _cameras([0.0, 77.0, 200.0], -20.0, distance, 60.0)
    render = trace(shape, cameras, supersample, (0.2, 0.4, 0.9))
    rgb, depth, alpha = _twin(shape, cameras, supersample, (0.2, 0.4, 0.9))
    assert alpha.mean() > 0
    np.testing.assert_allclose(render.rgb.numpy(), rgb.transpose(0, 3, 1, 2), atol=2e-5)
    np.testing.assert_allclose(render.depth[:, 0].numpy(), depth, atol=2e-5)
    np.testing.assert_allclose(render.alpha[:, 0].numpy(), alpha, atol=1e-6)


def test_a_creature_equals_the_twin():
    figure, cameras = load()["corgi"].figure(1), _cameras([30.0], width=24, height=24)
    rgb, _, _ = _twin(figure, cameras, 2, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(trace(figure, cameras).rgb.numpy(), rgb.transpose(0, 3, 1, 2), atol=2e-5)


def test_depth_and_outline_of_a_sphere():
    cameras = _cameras([10.0], 0.0, 2.0, 60.0, 65, 65)
    render = trace(_sphere(0.5), cameras, supersample=1)
    assert float(render.depth[0, 0, 32, 32]) == pytest.approx(1.5, abs=1e-6)
    y, x = np.mgrid[:65, :65] + 0.5
    focal = float(cameras.Ks[0, 0, 0])
    inside = np.hypot(x - 32.5, y - 32.5) / focal < np.tan(np.arcsin(0.25))
    np.testing.assert_array_equal(render.alpha[0, 0].numpy() > 0, inside)
    assert not render.depth[0, 0].numpy()[~inside].any()
    np.testing.assert_array_equal(render.rgb[0].numpy()[:, ~inside], 1.0)


def test_finer_sampling_converges_and_alpha_counts_rays():
    cameras = _cameras([0.0], 0.0, 2.0, 60.0, 16, 16)
    true = np.pi * np.tan(np.arcsin(0.25)) ** 2 * float(cameras.Ks[0, 0, 0]) ** 2
    areas = [float(trace(_sphere(0.5), cameras, n).alpha.sum()) for n in (1, 16)]
    assert abs(areas[1] - true) < 0.002 * true < abs(areas[0] - true)


@given(st.floats(0, 360), st.floats(-80, 80), st.floats(-30, 30))
@settings(max_examples=30, deadline=None)
def test_shading_belongs_to_the_surface_and_not_to_the_view(azimuth, elevation, aside):
    """The point of a sphere that faces one camera looks the same to another that sees it aside."""
    az, el = np.deg2rad(azimuth), np.deg2rad(elevation)
    normal = np.array([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)])
    facing = trace(_sphere(0.5), _cameras([azimuth], elevation, width=1, height=1, fov=0.01), 1)
    # A sphere moved so that the same surface point lies at the origin, in the middle of every picture.
    cameras = _cameras([azimuth + aside], elevation, width=1, height=1, fov=0.01)
    other = trace(_sphere(0.5, tuple(-0.5 * normal)), cameras, 1)
    torch.testing.assert_close(facing.rgb, other.rgb, atol=1e-3, rtol=0)
    light = GROUND + (SKY - GROUND) * (1 + normal[2]) / 2 + KEY * max(0, normal @ KEY_LIGHT) ** 2
    assert float(facing.rgb[0, 0, 0, 0]) == pytest.approx(0.5 * light, abs=1e-3)
