"""gsd noising-check --run: the noise on the scene of a run, at its checkpoint and at steps taken again."""

import sys

import pytest
import torch
from launch import LIGHT, launch

from gsd.errors import GsdError
from gsd.noising.check.sight import check_sight
from gsd.noising.consistent import Consistent
from gsd.tools import noising_check as command
from gsd.tools.run_sights import sights

SETTINGS = tuple(item for item in LIGHT if not item.startswith("camera.resolution"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that ends after a checkpoint on the way."""
    return launch(tmp_path_factory.mktemp("run"), *SETTINGS, "camera.resolution=40", "steps=6", "noising.sqrt_beta=0.9")


def figures(noising, sight):
    return {f.test: f for f in check_sight(noising, sight, draws=20)}


def test_steps_taken_again_are_those_of_the_run(folder):
    (kept,) = sights(folder)
    seen = {sight.steps: sight.views(0.0, 5.0) for sight in sights(folder, [6, 0])}
    assert (*seen, kept.steps) == (0, 6, 6)
    saved = kept.views(0.0, 5.0)
    assert torch.equal(saved.depth, seen[6].depth)
    assert torch.equal(saved.cameras.viewmats, seen[6].cameras.viewmats)
    assert not torch.equal(saved.depth, seen[0].depth)
    assert saved.depth.shape == (2, 1, 40, 40)


def test_cells_reach_what_points_alone_do_not(folder):
    (sight,) = sights(folder, [0])
    cells, points = (figures(Consistent(kernel="box", **o), sight) for o in ({}, {"cells": 0}))
    assert not [f.test for f in cells.values() if f.failed]
    assert cells["of these, fraction that points reach"].figure > 0.95
    assert cells["same camera twice: correlation, background"].figure > 0.95
    assert cells["correlation at corresponding pixels, 5 degrees"].figure > 0.5
    assert cells["A A^T: largest |covariance|"].verdict == "ok"
    assert [f.test for f in points.values() if f.failed] == ["correlation at corresponding pixels, 5 degrees"]
    assert points["of these, fraction that points reach"].figure < 0.1


def run(monkeypatch, *arguments):
    """The exit code or message of the command."""
    monkeypatch.setattr(sys, "argv", ["check", "--draws", "20", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        command.main()
    return end.value.code


def test_the_command_takes_the_noising_of_the_run_and_changes_to_it(folder, monkeypatch, capsys):
    assert run(monkeypatch, "--run", folder) == 0
    printed = capsys.readouterr().out
    assert "step 6: claims shared, unit, white" in " ".join(printed.split())
    assert "> 0.243" in printed  # 0.3 of what sqrt_beta=0.9 leaves
    failed = run(monkeypatch, "--run", folder, "--at", "0", "noising.cells=0")
    assert failed == f"a claim failed: {folder}, step 0 noising.cells=0"


def test_another_noising_may_be_named(folder, monkeypatch, capsys):
    assert run(monkeypatch, "--run", folder, "noising=random,lattice", "noising.sqrt_beta=1").startswith("error:")
    assert run(monkeypatch, "--run", folder, "noising=random,lattice") == 0
    printed = capsys.readouterr().out
    assert printed.count("correlation at corresponding pixels, 30 degrees") == 2
    assert "not claimed, fails" in printed  # random noise shares nothing


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--at", "3"], "give it too by --run"),
        (["--run", "nowhere"], "no run folder"),
        (["--run", "FOLDER", "--at", "7"], "has 6 steps; choose from 0 to 6"),
        (["--run", "FOLDER", "--at", "x"], "separated by commas"),
        (["--run", "FOLDER", "seed=1"], "only the noising can be changed"),
        (["--run", "FOLDER", "noising.cell=1"], "did you mean cells"),
    ],
)
def test_mistakes_are_explained_in_a_sentence(arguments, sentence, folder, monkeypatch):
    told = run(monkeypatch, *(str(folder) if each == "FOLDER" else each for each in arguments))
    assert sentence in told
    assert "\n" not in told


def test_a_scene_that_shows_nothing_is_refused(folder):
    (sight,) = sights(folder)
    blind = sight.look

    def look(cameras):
        seen = blind(cameras)
        return type(seen)(seen.scene, seen.cameras, seen.depth, 0 * seen.alpha, seen.render)

    with pytest.raises(GsdError, match="shows no object at step 6"):
        check_sight(Consistent(), type(sight)(sight.name, sight.steps, sight.camera, look, sight.rng), draws=2)
