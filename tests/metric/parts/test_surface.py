"""Geometry errors of surfaces whose distance is known."""

import numpy as np
import pytest
import torch

from gsd.geometry import turntable
from gsd.menagerie import Ellipsoids, trace
from gsd.metric.parts.surface import chamfer, geometry_errors, surface
from gsd.types import Render


def ball(radius, centre=(0.0, 0.0, 0.0)):
    return Ellipsoids(np.array([centre]), np.eye(3)[None], np.full((1, 3), radius), np.ones((1, 3)), np.zeros(1, bool))


CAMERAS = turntable(24, 64)


def test_equal_surfaces_have_no_error():
    show = trace(ball(0.5), CAMERAS)
    assert geometry_errors(show, show, CAMERAS) == {"depth_error": 0, "chamfer": 0, "silhouette_iou": 1}


@pytest.mark.parametrize("apart", [0.02, -0.05])
def test_a_surface_a_known_distance_behind_has_that_depth_error(apart):
    show = trace(ball(0.5), CAMERAS)
    behind = Render(show.rgb, (show.depth + apart) * (show.alpha > 0), show.alpha)
    errors = geometry_errors(behind, show, CAMERAS)
    assert errors["depth_error"] == pytest.approx(abs(apart), abs=1e-6)
    assert errors["silhouette_iou"] == 1


@pytest.mark.parametrize("growth", [0.03, 0.1])
def test_balls_of_different_size(growth):
    """Points of one lie `growth` from the other, but at the poles, of which neither camera ring sees all."""
    small, large = trace(ball(0.5), CAMERAS), trace(ball(0.5 + growth), CAMERAS)
    errors = geometry_errors(large, small, CAMERAS)
    assert errors["chamfer"] == pytest.approx(growth, rel=0.05)
    silhouettes = [np.tan(np.arcsin(r / 2.2)) ** 2 for r in (0.5, 0.5 + growth)]
    assert errors["silhouette_iou"] == pytest.approx(silhouettes[0] / silhouettes[1], abs=0.02)
    assert geometry_errors(small, large, CAMERAS)["chamfer"] == errors["chamfer"]


def test_points_of_a_turntable_lie_on_the_ball():
    points = surface(trace(ball(0.5, (0.1, 0.0, 0.2)), CAMERAS, supersample=1), CAMERAS)
    radii = (points - torch.tensor([0.1, 0.0, 0.2])).norm(dim=1)
    assert len(points) > 1000
    assert torch.allclose(radii, torch.full_like(radii, 0.5), atol=1e-4)


def test_chamfer_is_the_mean_of_both_directions():
    """Two points against one: (0 + 0.3) / 2 there and 0 back."""
    a, b = torch.tensor([[0.0, 0, 0], [0.3, 0, 0]]), torch.zeros(1, 3)
    assert chamfer(a, b) == chamfer(b, a) == pytest.approx(0.075)


def test_nothing_and_things_far_away_have_the_largest_error():
    show = trace(ball(0.3), CAMERAS)
    nothing = Render(show.rgb, torch.zeros_like(show.depth), torch.zeros_like(show.alpha))
    assert geometry_errors(nothing, show, CAMERAS) == {"depth_error": 1, "chamfer": 1, "silhouette_iou": 0}
    far = Render(show.rgb, show.depth + 50, show.alpha)
    errors = geometry_errors(far, show, CAMERAS)
    assert (errors["depth_error"], errors["chamfer"]) == (1, 1)
