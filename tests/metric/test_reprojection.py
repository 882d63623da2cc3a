"""Reprojection sees what views contradict each other in, and not what they agree on: a second face."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from gsd.geometry import orbit, project, turntable, unproject
from gsd.menagerie import Ellipsoids, load, trace
from gsd.metric.parts.features import gradient_features
from gsd.metric.reprojection import Reprojection, neighbours

CAMERAS, FEW = turntable(48, 64), turntable(24, 64)
ERRORS = ("photometric_error", "reprojection_error", "feature_error", "see_through")


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def measure(show, cameras=CAMERAS, **options):
    return Reprojection(**options)(show, cameras, "")


@pytest.fixture(scope="module", params=["owl", "corgi", "cat with a hat"])
def figure(request):
    return load()[request.param].figure(0)


def spoilt(show, how):
    """The same scene with noise, flicker or blotches of its own in every view, or with broken depth."""
    views, inside = len(show.rgb), (show.alpha > 0).float()
    if how == "noise":
        return dataclasses.replace(show, rgb=(show.rgb + 0.1 * drawn(*show.rgb.shape) * inside).clamp(0, 1))
    if how == "flicker":
        return dataclasses.replace(show, rgb=(show.rgb + 0.1 * drawn(views, 3, 1, 1) * inside).clamp(0, 1))
    smooth = interpolate(drawn(views, 1, 8, 8), (64, 64), mode="bicubic")
    if how == "blotches":
        return dataclasses.replace(show, rgb=(show.rgb + 0.15 * smooth * inside).clamp(0, 1))
    if how == "wavy depth":
        return dataclasses.replace(show, depth=(show.depth + 0.1 * smooth) * inside)
    return dataclasses.replace(show, depth=2.2 * inside)  # "flat depth": that of a billboard


def test_a_two_faced_animal_is_as_consistent_as_a_true_one_and_spoilt_ones_are_not(figure):
    show = trace(figure, FEW)
    true, twin = measure(show, FEW), measure(trace(figure.two_faced(), FEW), FEW)
    for key in ERRORS:  # alike: far nearer to each other than to any of what follows
        assert twin[key] == pytest.approx(true[key], rel=0.35, abs=0.006)
    for how, keys in {
        "noise": ("photometric_error",),
        "flicker": ("photometric_error", "feature_error"),
        "blotches": ("photometric_error", "feature_error"),
        "wavy depth": ("reprojection_error", "see_through"),
        "flat depth": ("photometric_error", "reprojection_error", "feature_error", "see_through"),
    }.items():
        worse = measure(spoilt(show, how), FEW)
        for key in keys:
            assert worse[key] > 1.5 * max(true[key], twin[key]), (how, key)


def test_a_perfect_scene_has_no_errors_beyond_resampling():
    """A sphere in one colour: what is left are the light's slopes and the outline between pixels."""
    ball = Ellipsoids(np.zeros((1, 3)), np.eye(3)[None], np.full((1, 3), 0.5), np.full((1, 3), 0.4), np.zeros(1, bool))
    found = measure(trace(ball, CAMERAS))
    assert found["photometric_error"] < 0.012
    assert found["reprojection_error"] < 0.004  # a sixth of a pixel's footprint
    assert found["see_through"] == 0
    assert found["co_visible"] > 0.9


def test_errors_of_known_size():
    """Two groups of views, every other pair apart by 0.2 in colour or by 0.03 in depth along the ray."""
    ball = Ellipsoids(np.zeros((1, 3)), np.eye(3)[None], np.full((1, 3), 0.5), np.full((1, 3), 0.4), np.zeros(1, bool))
    show, even = trace(ball, CAMERAS), (torch.arange(48) // 2 % 2 == 0).view(48, 1, 1, 1)
    apart = measure(dataclasses.replace(show, rgb=show.rgb + 0.2 * even))  # 15 degrees are two views
    assert apart["photometric_error"] == pytest.approx(0.2, abs=0.005)
    off = measure(dataclasses.replace(show, depth=show.depth + 0.03 * even * (show.alpha > 0)))
    assert off["reprojection_error"] == pytest.approx(0.03, abs=0.003)


def test_depth_against_a_twin_in_world_coordinates():
    """Every co-visible point of a few, lifted to the world and looked up in the other view."""
    figure = load()["pig"].figure(0)
    cameras = turntable(24, 64)
    show = trace(figure, cameras)
    world = unproject(show.depth, cameras)
    apart, seen = [], 0
    for i in range(24):
        for j in ((i + 1) % 24, (i - 1) % 24):
            solid = show.alpha[i, 0] > 0.5
            pixels, z = project(world[i][solid], cameras[torch.tensor([j])])
            x, y = (pixels[0] // 1).long().unbind(-1)
            there = show.depth[j, 0, y, x]
            close = (show.alpha[j, 0, y, x] > 0.5) & ((z[0] - there).abs() < 0.07)
            apart += (z[0] - there).abs()[close].tolist()
            seen += int(solid.sum())
    found = Reprojection()(show, cameras, "")
    assert found["co_visible"] == pytest.approx(len(apart) / seen, abs=1e-3)
    assert found["reprojection_error"] < np.mean(apart)  # the nearest pixel's depth instead of that between pixels


def test_turntables_of_different_length_measure_the_same():
    figure = load()["owl"].figure(0)
    few, many = (Reprojection()(trace(figure, c), c, "") for c in (turntable(24, 64), turntable(120, 64)))
    for key in ERRORS:
        assert few[key] == pytest.approx(many[key], rel=0.05, abs=2e-4)


def test_order_does_not_matter_and_nothing_is_worst():
    show, order = (
        trace(load()["owl"].figure(0), CAMERAS),
        torch.randperm(48, generator=torch.Generator().manual_seed(0)),
    )
    mixed = dataclasses.replace(show, rgb=show.rgb[order], depth=show.depth[order], alpha=show.alpha[order])
    assert Reprojection()(mixed, CAMERAS[order], "") == pytest.approx(measure(show), rel=1e-4)
    empty = dataclasses.replace(show, depth=0 * show.depth, alpha=0 * show.alpha)
    assert list(measure(empty, tolerance=0.05).values()) == [1, 0.05, 1, 0, 0]
    alone = turntable(1, 64)
    said = Reprojection()(trace(load()["owl"].figure(0), alone), alone, "")
    assert all(math.isnan(value) for value in said.values())


def test_neighbours_are_the_views_nearest_to_the_angle():
    i, j = neighbours(turntable(24, 8), 15.0)
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == sorted(
        (a, (a + s) % 24) for a in range(24) for s in (1, -1)
    )
    azimuth = torch.tensor([270.0, 0.0, 180.0, 90.0])
    full = torch.ones(4)
    i, j = neighbours(orbit(azimuth, 0 * full, 2 * full, 40 * full, 8, 8), 90.0)
    apart = (azimuth[j] - azimuth[i]).remainder(360)
    assert sorted(apart.tolist()) == [90.0] * 4 + [270.0] * 4


def test_features_are_standardised_on_the_object_and_blind_to_the_background():
    figure = load()["owl"].figure(0)
    show = trace(figure, CAMERAS)
    features = gradient_features(show.rgb, show.alpha)
    inside = features.movedim(1, -1)[show.alpha[:, 0] > 0.5]
    assert torch.allclose(inside.mean(0), torch.zeros(27), atol=1e-3)
    assert torch.allclose(inside.std(0), torch.ones(27), atol=1e-3)
    solid = (show.alpha == 1).float()
    other = torch.where(solid > 0, show.rgb, 0.2)
    assert torch.allclose(gradient_features(other, solid), gradient_features(show.rgb, solid), atol=1e-4)
    flat = torch.full_like(show.rgb, 0.5)
    assert not gradient_features(flat, torch.ones_like(show.alpha)).any()
