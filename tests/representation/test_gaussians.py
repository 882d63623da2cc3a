"""Learning rates follow the scene's own steps; backgrounds and the end of a run leave no fog."""

import pytest
import torch
from launch import SMALL
from quick_config import quick

from gsd.experiment import build
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


def _scene(steps=100, **options):
    points = PointCloud(torch.rand(9, 3, generator=torch.Generator().manual_seed(0)) - 0.5, torch.rand(9, 3))
    return Gaussians(Context(points=points, steps=steps), decay=1.0, **options)


def test_faint_gaussians_go_after_the_last_step_and_only_then():
    scene = _scene(steps=2, min_opacity=0.05)
    with torch.no_grad():
        scene.params["opacity_logits"][:4] = torch.tensor(0.04).logit()
    scene.step()
    assert len(scene.ids) == 9
    scene.step()
    assert scene.ids.tolist() == [4, 5, 6, 7, 8]
    assert all(len(p) == 5 for p in scene.params.values())
    assert (scene.splats().opacity_logits.sigmoid() >= 0.05).all()


def test_a_scene_in_which_all_is_faint_is_kept():
    scene = _scene(steps=1, min_opacity=0.5)
    scene.step()
    assert len(scene.ids) == 9
