"""Particles against the same scenes trained apart."""

import itertools
import json
import statistics
from dataclasses import replace

import torch
from launch import LIGHT, launch, records
from quick_config import quick

from gsd.experiment import build
from gsd.identity import identity
from gsd.loop import optimise, take_step
from gsd.results.folder import RunFolder
from gsd.results.owner import sign
from gsd.runner.recorder import Recorder

FEW = (*LIGHT, "particles=2", "steps=6", "noising=random", "loss=none")
WHOLE = (*FEW, "representation.min_opacity=0")  # no Gaussian is removed after the last step


def test_scenes_take_turns_and_a_step_moves_one_alone():
    experiment = build(quick(*WHOLE))
    scenes = experiment.representation.scenes
    assert not torch.equal(scenes[0].params["means"], scenes[1].params["means"])
    for state in optimise(experiment):
        taken = [scene.steps_taken for scene in scenes]
        assert taken == [state.step // 2 + 1, (state.step + 1) // 2]
        assert torch.equal(state.scene.ids, scenes[state.step % 2].ids)


def test_no_scene_starts_as_that_of_another_seed():
    starts = [
        scene.params["means"]
        for seed in (5, 6, 7)
        for scene in build(quick(*WHOLE, f"seed={seed}")).representation.scenes
    ]
    assert not [pair for pair in itertools.combinations(starts, 2) if torch.equal(*pair)]


def test_a_particle_is_the_scene_it_would_be_alone():
    """A guidance that learns nothing leaves only cameras and noise in common."""
    both = build(quick(*WHOLE))
    list(optimise(both))
    scene = build(quick(*WHOLE, "particles=1", "steps=3")).representation
    for step in (0, 2, 4):
        take_step(replace(both, representation=scene), step)
    for name, p in scene.params.items():
        assert torch.equal(p, both.representation.scenes[0].params[name])


def test_a_run_leaves_every_particle_and_continues_to_the_bit(tmp_path):
    straight = launch(tmp_path / "straight", *FEW)
    summary = json.loads((straight / "summary.json").read_text())
    values = [each["psnr_aligned"] for each in summary["particles"]]
    assert len(set(values)) == 2
    assert summary["psnr_aligned"] == statistics.mean(values)
    for name in ("turntable.png", "scene.ply", "views/000_rgb.png"):
        first, second = (straight / name).read_bytes(), (straight / "particle_1" / name).read_bytes()
        assert first != second, name
    broken = tmp_path / "broken"
    stop_after(broken, 4)
    launch(broken, *FEW)
    assert records(straight) == records(broken)
    for name in ("scene.ply", "particle_1/scene.ply"):
        assert (straight / name).read_bytes() == (broken / name).read_bytes()


def stop_after(folder, steps):
    """As a crash right after the checkpoint at `steps` leaves it."""
    cfg = quick(*FEW)
    sign(RunFolder(folder), identity(cfg), {})
    experiment = build(cfg)
    with Recorder(experiment, RunFolder(folder)) as recorder:
        for state in itertools.islice(optimise(experiment), steps):
            recorder.step(state)
        recorder.checkpoint()


def test_the_second_scene_of_a_seed_is_no_scene_of_the_next():
    scenes = build(quick(*FEW)).representation.scenes
    other = build(quick(*WHOLE, "particles=1", "seed=1")).representation
    assert not torch.equal(scenes[1].params["means"], other.params["means"])
