import dataclasses

import pytest
import torch

from gsd.errors import GsdError
from gsd.geometry import geometry_at
from gsd.loss.opacity import Opacity
from gsd.loss.opaque import Opaque
from gsd.loss.orient import Orient
from gsd.loss.position import Position
from gsd.loss.scales import Scales
from gsd.loss.sparsity import Sparsity
from gsd.loss.tv import TV
from gsd.noising.check.reference import cameras
from gsd.types import Render, Scene, Score, StepState


def state(alpha, **extra):
    size = alpha.shape[-2:]
    shown = Render(torch.zeros(len(alpha), 3, *size), torch.zeros_like(alpha), alpha, **extra)
    z = torch.zeros(len(alpha), 4, *size)
    scene = Scene(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))
    cams = cameras(0.0, size=size[0])
    return StepState(
        0, cams, geometry_at(scene, shown, cams, *size), z, z, torch.ones(len(alpha)), Score(z, z, None, 1)
    )


ALPHA = torch.tensor([[[[0.0, 0.4], [0.6, 1.0]]]])


def test_orient_is_a_sum_over_samples_by_the_pixels_that_show_something():
    value = Orient()(state(ALPHA, orientation=torch.tensor([[[[0.0, 0.3], [0.1, 0.2]]]])))
    assert torch.isclose(value, torch.tensor(0.6 / 3))


def test_nothing_in_the_picture_is_no_cost():
    empty = state(torch.zeros_like(ALPHA), orientation=torch.zeros_like(ALPHA))
    assert Orient()(empty) == 0


def test_what_a_representation_lacks_is_named():
    with pytest.raises(GsdError, match="normals=analytic"):
        Orient()(state(ALPHA))


def test_opaque_and_sparsity_by_hand():
    alpha = torch.full((1, 1, 2, 2), 0.5)
    assert torch.isclose(Opaque()(state(alpha)), torch.tensor(2.0).log())
    assert torch.isclose(Sparsity()(state(alpha)), torch.tensor(0.26).sqrt())
    assert Opaque()(dataclasses.replace(state(torch.ones_like(alpha)))) < 0.01


def test_total_variation_by_hand():
    made = state(ALPHA)
    rgb = torch.tensor([[0.0, 0.4], [0.6, 1.0]]).expand(1, 3, 2, 2)
    shown = dataclasses.replace(made.render, rgb=rgb)
    made = dataclasses.replace(made, geometry=dataclasses.replace(made.geometry, render=shown))
    assert torch.isclose(TV()(made), torch.tensor(0.6 + 0.4))
    assert torch.isclose(TV(squares=True)(made), torch.tensor(2 * (0.36 + (0.4**2 + 0.4**2) / 2)))


def test_losses_of_gaussians_by_hand():
    """And what each of them moves."""
    points = torch.tensor([[3.0, 0.0, 4.0], [0.0, -1.0, 0.0]], requires_grad=True)
    scales = torch.tensor([[0.2, 0.1, 0.2], [0.0, 0.6, 0.8]], requires_grad=True)
    opacities = torch.tensor([0.5, 0.25], requires_grad=True)
    made = state(ALPHA)
    scene = Scene(points, torch.arange(2), scales, torch.eye(4)[:2], opacities)
    made = dataclasses.replace(made, geometry=dataclasses.replace(made.geometry, scene=scene))
    values = [loss(made) for loss in (Position(), Opacity(), Scales())]
    assert [float(value) for value in values] == pytest.approx([3.0, 0.3 * 0.5 + 1.0 * 0.25, 1.9])
    torch.stack(values).sum().backward()
    assert torch.allclose(points.grad, torch.tensor([[0.3, 0.0, 0.4], [0.0, -0.5, 0.0]]))
    assert torch.allclose(opacities.grad, torch.tensor([0.3, 1.0]))
    assert torch.equal(scales.grad, torch.ones(2, 3))
    for loss in (Opacity(), Scales()):
        with pytest.raises(GsdError, match="add representation=gaussians, or drop it"):
            loss(state(ALPHA))
