from collections import Counter
from typing import get_args

import numpy as np
import pytest
import torch
from launch import config

from gsd.config import make
from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.init.menagerie import MenagerieCloud, _surface, _without
from gsd.init.parts.cloud_errors import IN_PARTS, CloudError, chosen
from gsd.menagerie import Ellipsoids, find, load, trace
from gsd.metric.truth import Truth
from gsd.protocols import Init
from gsd.random import Stream
from gsd.types import Context

RNG = Stream(0, "init")
EXACT = {"jitter": 0.0, "missing": 0.0, "yaw": 0.0, "desaturation": 0.0}


def balls(*radii):
    count = len(radii)
    centres = np.stack([np.arange(count), np.zeros(count), np.zeros(count)], 1).astype(float)
    shapes = np.repeat(np.array(radii)[:, None], 3, 1)
    return Ellipsoids(centres, np.repeat(np.eye(3)[None], count, 0), shapes, np.eye(count, 3), np.zeros(count, bool))


def test_without_error_every_point_lies_on_the_surface_and_has_its_colour():
    figure = find("a corgi").figure(0)
    cloud = MenagerieCloud(Context("a corgi"), points=2000, **EXACT)(RNG)
    apart = cloud.xyz.double().numpy()[:, None] - figure.centres
    level = np.sqrt((np.einsum("pnj,njk->pnk", apart, figure.rotations) ** 2 / figure.radii**2).sum(-1))
    assert level.min(1) == pytest.approx(1.0, abs=1e-4)  # on one part, inside none
    assert np.allclose(cloud.rgb.numpy(), figure.colours[level.argmin(1)], atol=1e-6)


def test_points_are_spread_by_area():
    xyz, part = _surface(balls(0.1, 0.3), 4000, RNG)
    share = (part == 1).float().mean().item()
    assert abs(share - 0.9) < 4 * (0.9 * 0.1 / 4000) ** 0.5
    upper = (xyz[part == 1, 2] > 0.15).float().mean().item()  # a cap of a quarter of the ball's area
    assert abs(upper - 0.25) < 4 * (0.25 * 0.75 / 3600) ** 0.5
    flat = Ellipsoids(
        np.zeros((1, 3)), np.eye(3)[None], np.array([[0.4, 0.4, 0.02]]), np.ones((1, 3)), np.zeros(1, bool)
    )
    xyz, _ = _surface(flat, 4000, RNG)
    rim = (xyz[:, :2].norm(dim=-1) > 0.2).float().mean().item()  # a thin disc: three quarters of it
    assert abs(rim - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5 + 0.01


def test_each_error_is_the_one_asked_for():
    exact = MenagerieCloud(Context("a corgi"), **EXACT)(RNG)
    noisy = MenagerieCloud(Context("a corgi"), **EXACT | {"jitter": 0.05})(RNG)
    assert (noisy.xyz - exact.xyz).std().item() == pytest.approx(0.05, rel=4 / (2 * 9000) ** 0.5)
    aside = MenagerieCloud(Context("a corgi"), **EXACT | {"yaw": 30.0})(RNG)
    azimuth = torch.atan2(aside.xyz[:, 1], aside.xyz[:, 0]) - torch.atan2(exact.xyz[:, 1], exact.xyz[:, 0])
    assert torch.allclose(torch.rad2deg(azimuth) % 360, torch.tensor(30.0), atol=0.1)
    grey = MenagerieCloud(Context("a corgi"), **EXACT | {"desaturation": 1.0})(RNG)
    assert torch.allclose(grey.rgb, exact.rgb.mean(-1, keepdim=True).expand(-1, 3), atol=1e-6)


def test_missing_parts():
    figure = find("a corgi").figure(0)
    keep = _without(figure, 0.3, RNG)
    assert (~keep).sum() == round(0.3 * (len(figure) - 1))
    assert _without(figure, 1.0, RNG).sum() == 1  # the largest stays
    assert keep[figure.radii.prod(1).argmax()]
    assert (keep != _without(figure, 0.3, Stream(1, "init"))).any()


@pytest.mark.parametrize("animal", ["corgi", "owl", "turtle"])
def test_errors_in_parts_change_the_number_of_faces(animal):
    cameras, creature = turntable(36, 32), load()[animal]
    truth = Truth(Context(animal), resolution=32, variants=1, azimuths=36)

    def seen(error):
        figure = creature.figure()
        return truth(trace(IN_PARTS[error](creature, figure, RNG) if error else figure, cameras), cameras, animal)

    faces = {error: seen(error)["face_count"] for error in (None, *IN_PARTS)}
    assert faces == {None: 1, "no_face": 0, "two_heads": 2, "symmetrised": 2}
    assert seen("no_face")["silhouette_iou"] > 0.95  # nothing else is missing


@pytest.mark.parametrize("animal", load())
def test_a_head_has_the_whole_face_and_is_turned_backwards(animal):
    creature = load()[animal]
    figure, head = creature.figure(), creature.head()
    assert not (figure.face & ~head).any()
    assert not head[0]
    both = IN_PARTS["two_heads"](creature, figure, RNG)
    faces = both.centres[both.face] - both.centres[0]
    first, second = faces.reshape(2, -1, 3).mean(1)
    apart = np.rad2deg(np.arctan2(second[1], second[0]) - np.arctan2(first[1], first[0])) % 360
    assert 120 <= apart <= 240
    assert np.hypot(*first[:2]) == pytest.approx(np.hypot(*second[:2]))
    assert first[2] == pytest.approx(second[2])


@pytest.mark.parametrize("seed", range(3))
def test_errors_in_the_cloud(seed):
    rng = Stream(seed, "init")
    right, turned, blob = (
        MenagerieCloud(Context("a corgi"), points=800, **EXACT, error=e)(rng) for e in (None, "turned", "blob")
    )
    azimuth = torch.atan2(turned.xyz[:, 1], turned.xyz[:, 0]) - torch.atan2(right.xyz[:, 1], right.xyz[:, 0])
    azimuth = torch.rad2deg(azimuth) % 360
    assert azimuth.max() - azimuth.min() < 0.1
    assert 120 <= azimuth.mean() <= 240
    radii = ((blob.xyz - right.xyz.mean(0)) / right.xyz.std(0)).norm(dim=-1)
    assert radii.numpy() == pytest.approx(3**0.5, rel=1e-4)
    assert blob.xyz.std(0).numpy() == pytest.approx(right.xyz.std(0).numpy(), rel=0.05)
    assert torch.equal(blob.rgb.sort(0).values, right.rgb.sort(0).values)
    assert blob.rgb.ne(right.rgb).any(1).float().mean() > 0.3  # elsewhere


def test_any_error_is_drawn_by_the_seed():
    errors = (None, *get_args(CloudError)[:-1])
    streams = [Stream(seed, "init").sub("error") for seed in range(300)]
    drawn = Counter(chosen("any", rng) for rng in streams)
    assert drawn.keys() == set(errors)
    assert all(abs(count - 50) < 4 * (300 * 5 / 36) ** 0.5 for count in drawn.values())
    assert [chosen(error, RNG) for error in errors] == list(errors)

    def cloud(error, seed=1):
        return MenagerieCloud(Context("a corgi"), points=100, error=error)(Stream(seed, "init")).xyz

    assert torch.equal(cloud("any"), cloud(chosen("any", streams[1])))
    assert not torch.equal(cloud("two_heads"), cloud("two_heads", seed=0))


def test_a_misspelt_error_is_refused_with_the_nearest():
    section = config("init=menagerie", "init.error=two_head").init
    with pytest.raises(GsdError, match="'blob' or 'any'; did you mean two_heads"):
        make(section, "init", Context("a corgi"), Init)


def test_seeds_differ_and_repeat():
    make = MenagerieCloud(Context("a corgi"))
    assert torch.equal(make(RNG).xyz, make(RNG).xyz)
    assert not torch.equal(make(RNG).xyz, make(Stream(1, "init")).xyz)


def test_an_unknown_animal_is_refused():
    with pytest.raises(GsdError, match="The menagerie has no"):
        MenagerieCloud(Context("a spaceship"))
