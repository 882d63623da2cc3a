"""Learning rates follow the scene's own steps; backgrounds and the end of a run leave no fog."""

from dataclasses import replace

import pytest
import torch
from launch import SMALL
from quick_config import quick

from gsd.experiment import build
from gsd.geometry import turntable
from gsd.loop import optimise
from gsd.representation.gaussians import Gaussians
from gsd.types import Context, PointCloud


def test_decay_multiplies_every_rate_with_the_scenes_own_steps():
    points = PointCloud(torch.rand(9, 3) - 0.5, torch.rand(9, 3))
    decay = {"kind": "linear", "start": 1.0, "end": 0.1, "begin": 0, "until": 10}
    scene = build(quick(*SMALL, f"representation.decay={decay}".replace("'", ""))).representation
    assert isinstance(scene, Gaussians)
    rates = {name: float(rate) for name, rate in scene.rates.items()}
    for step in range(12):
        scene.step()
        seen = {group["name"]: group["lr"] for group in scene.optimizer.param_groups}
        assert seen == pytest.approx({name: rate * (1 - 0.09 * min(step, 10)) for name, rate in rates.items()})
    plain = Gaussians(Context(points=points), decay=1.0)
    plain.step()
    assert {group["name"]: group["lr"] for group in plain.optimizer.param_groups} == plain.rates


@pytest.mark.parametrize("particles", [1, 2])
def test_by_default_rates_end_at_a_tenth_whatever_the_length_and_the_particles(particles):
    experiment = build(quick(*SMALL, "steps=12", f"particles={particles}", "noising=random", "loss=none"))
    for _ in optimise(experiment):
        pass
    scenes = getattr(experiment.representation, "scenes", (experiment.representation,))
    own = 12 // particles
    for scene in scenes:
        assert scene.steps_taken == own
        for group in scene.optimizer.param_groups:  # as set for the last step, own - 1
            assert group["lr"] == pytest.approx(scene.rates[group["name"]] * (1 - 0.9 * (own - 1) / own))


AROUND = [turntable(4, 32, 40.0, 2.2, elevation) for elevation in (0.0, 30.0)]


def _scene(**options):
    points = PointCloud(torch.rand(9, 3, generator=torch.Generator().manual_seed(0)) - 0.5, torch.rand(9, 3))
    return Gaussians(Context(points=points), decay=1.0, **options)


def _set(scene, name, rows, value):
    with torch.no_grad():
        scene.params[name][rows] = torch.tensor(value)


def test_a_grey_start_forgets_the_points_colours():
    shown = [scene.render(AROUND[0]).rgb.detach() for scene in (_scene(opacity=0.99, grey=0.4), _scene(opacity=0.99))]
    covered = [rgb[(rgb < 0.99).any(1, keepdim=True).expand_as(rgb)] for rgb in shown]
    assert covered[0].min() == pytest.approx(0.4, abs=0.01)  # over white
    assert torch.allclose(shown[0][:, 0], shown[0][:, 1])
    assert not torch.allclose(shown[1][:, 0], shown[1][:, 1])


def test_faint_gaussians_go_at_the_end():
    scene = _scene(min_opacity=0.05, opacity=0.5)
    _set(scene, "opacity_logits", slice(4), -3.0)
    scene.finish(AROUND)
    assert scene.ids.tolist() == [4, 5, 6, 7, 8]
    assert all(len(p) == 5 for p in scene.params.values())
    assert (scene.splats().opacity_logits.sigmoid() >= 0.05).all()


def test_gaussians_apart_from_the_object_go_and_no_view_changes():
    """One above every picture and one above the object, both faint; what is hidden inside stays."""
    scene = _scene(opacity=0.9)
    _set(scene, "means", slice(3), [[0.0, 0.0, 1.2], [0.0, 0.0, 0.75], [0.0, 0.0, 0.0]])
    _set(scene, "log_scales", slice(9), -2.6)
    _set(scene, "opacity_logits", slice(2), -3.0)
    before = [scene.render(cameras).alpha for cameras in AROUND]
    scene.finish(AROUND)
    assert scene.ids.tolist() == [2, 3, 4, 5, 6, 7, 8]
    for cameras, alpha in zip(AROUND, before, strict=True):
        lost = alpha - scene.render(cameras).alpha
        assert lost.max() < 0.05
        assert (lost[alpha > 0.5] == 0).all()


def test_haze_beside_the_object_goes_though_some_views_see_it_in_front():
    """Two at the object's height, out of it to the front and to the left; half of the views see one of them before it.
    Views of another thing, in which the object is out of the picture, say nothing."""
    scene = _scene(opacity=0.95)
    _set(scene, "means", slice(9), [[0.65, 0.0, 0.0], [0.0, 0.65, 0.0], *[[0.0, 0.0, 0.08 * k] for k in range(-3, 4)]])
    _set(scene, "log_scales", slice(9), -1.8)
    _set(scene, "opacity_logits", slice(2), -2.0)
    aside = AROUND[0].viewmats.clone()
    aside[:, 0, 3] += 5.0
    scene.finish([*AROUND, replace(AROUND[0], viewmats=aside)])
    assert scene.ids.tolist() == [2, 3, 4, 5, 6, 7, 8]


def test_the_end_of_a_run_removes_them():
    experiment = build(quick(*SMALL, "steps=2", "representation.min_opacity=0.15"))
    counts = [len(state.geometry.scene.ids) for state in optimise(experiment)]
    assert counts == [150, 150]
    assert 0 < len(experiment.representation.ids) < 150


@pytest.mark.parametrize(("options", "opacity"), [({"min_opacity": 0.5}, 0.1), ({"min_opacity": 0.0}, 0.01)])
def test_a_scene_in_which_all_is_faint_is_kept(options, opacity):
    scene = _scene(**options, opacity=opacity)
    scene.finish(AROUND)
    assert len(scene.ids) == 9


def test_round_gaussians_do_not_turn_by_what_rounding_leaves_of_their_gradient():
    """PyTorch's rasteriser, as one on a GPU, rounds what is 0 to 1e-8; Adam makes steps of any size the same."""
    scene = _scene(backend="torch", opacity=0.5)
    _set(scene, "log_scales", slice(9), -2.0)
    _set(scene, "log_scales", slice(2), [-2.0, -2.0, -1.5])
    before = {name: p.detach().clone() for name, p in scene.params.items()}
    colours = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    (scene.render(AROUND[0]).rgb * colours).sum().backward()
    noise = scene.params["quats"].grad[2:].abs().max()
    assert 0 < noise < 1e-3 * scene.params["quats"].grad[:2].abs().max()
    scene.step()
    turned = (scene.params["quats"] != before["quats"]).any(1)
    assert turned.tolist() == [True] * 2 + [False] * 7
    assert all((p != before[name]).any() for name, p in scene.params.items())
