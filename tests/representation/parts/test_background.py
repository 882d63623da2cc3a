"""What lies behind a scene: a set colour, and random ones in a fraction of the training steps."""

import pytest
import torch

from gsd.camera.orbit import Orbit
from gsd.random import Stream
from gsd.representation.gaussians import Gaussians
from gsd.representation.instant_ngp import InstantNGP
from gsd.representation.parts.background import behind
from gsd.types import Context, PointCloud

CAMERAS = Orbit(resolution=8, groups=3, views=2)(Stream(0, "camera"))
STEPS, FRACTION = 2000, 0.25


def scene(kind, **options):
    points = PointCloud(0.1 * torch.rand(9, 3, generator=torch.Generator().manual_seed(0)), torch.rand(9, 3))
    more = {"decay": 1.0} if kind is Gaussians else {"samples": 8}
    return kind(Context(points=points, steps=100, random_background=FRACTION), **more, **options)


def test_in_a_fraction_of_the_steps_each_group_gets_a_colour_of_its_own():
    found = [behind("environment", FRACTION, CAMERAS, Stream(3, "scene", step)) for step in range(STEPS)]
    colours = torch.stack([each for each in found if each is not None])
    assert abs(len(colours) / STEPS - FRACTION) < 4 * (FRACTION * (1 - FRACTION) / STEPS) ** 0.5
    assert torch.equal(colours[:, ::2], colours[:, 1::2])  # both views of a group
    own = colours[:, ::2]
    assert len(own.reshape(-1, 3).unique(dim=0)) == 3 * len(own)
    assert abs(float(own.mean()) - 0.5) < 4 * (1 / 12 / own.numel()) ** 0.5


@pytest.mark.parametrize("kind", [Gaussians, InstantNGP])
def test_a_scene_lies_over_what_is_drawn_and_says_so(kind):
    """By default as often as suits the prior, which the context tells."""
    one, other = scene(kind), scene(kind, random_background=FRACTION)
    over = []
    for _ in range(40):
        show, same = one.render(CAMERAS), other.render(CAMERAS)
        assert torch.equal(show.background, same.background)
        behind = (1 - show.alpha) * show.background[..., None, None]
        assert (show.rgb - behind).amin() > -1e-5
        assert torch.allclose((show.rgb - behind)[show.alpha.expand_as(behind) < 1e-6], torch.zeros(()), atol=1e-5)
        over.append(bool((show.background == 1).all()))
        one.steps_taken += 1
        other.steps_taken += 1
    assert 0 < sum(over) < 40


@pytest.mark.parametrize("kind", [Gaussians, InstantNGP])
@pytest.mark.parametrize(("colour", "value"), [("white", 1.0), ("black", 0.0)])
def test_without_graph_the_background_is_the_one_that_is_set(kind, colour, value):
    with torch.no_grad():
        show = scene(kind, background=colour, random_background=1.0).render(CAMERAS)
    assert torch.equal(show.background, torch.full((6, 3), value))


def test_a_learned_environment_varies_within_a_view_and_is_not_given():
    with torch.no_grad():
        assert scene(InstantNGP, background="environment").render(CAMERAS).background is None
