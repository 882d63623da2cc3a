import numpy as np
import pytest
import torch

from gsd.errors import GsdError
from gsd.init.menagerie import MenagerieCloud, _surface, _without
from gsd.menagerie import Ellipsoids, find
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


def test_seeds_differ_and_repeat():
    make = MenagerieCloud(Context("a corgi"))
    assert torch.equal(make(RNG).xyz, make(RNG).xyz)
    assert not torch.equal(make(RNG).xyz, make(Stream(1, "init")).xyz)


def test_an_unknown_animal_is_refused():
    with pytest.raises(GsdError, match="The menagerie has no"):
        MenagerieCloud(Context("a spaceship"))
