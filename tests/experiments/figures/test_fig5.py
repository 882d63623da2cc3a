"""The figure of the noisings, on next to nothing."""

import json

import fig5_noise
import torch
from launch import SMALL, launch

from gsd.noising.check.reference import cameras, visible_in_both


def test_fig5_measures_and_draws_a_row_for_each_noising(call, tmp_path):
    call(fig5_noise.main, "none: noising=random", "noising=consistent", "--draws", "3", "--out", tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert (tmp_path / "figure.pdf").exists()
    random, consistent = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert random["label"] == "none"
    assert abs(random["figures"]["correlation, 5°"]) < 0.05
    assert consistent["figures"]["correlation, 5°"] > 0.5
    assert "| (b) | noising=consistent |" in (tmp_path / "table.md").read_text()


def test_patches_of_both_views_show_the_same_place():
    coords, both = visible_in_both(cameras(0.0, 5.0, size=fig5_noise.SIZE))
    here, there = fig5_noise.squares(coords, both)
    assert both[here].all()
    centre = coords[0][here].mean((0, 1))
    wanted = torch.tensor([(there[1].start + there[1].stop) / 2, (there[0].start + there[0].stop) / 2])
    assert (centre - wanted).abs().max() <= 0.6


def test_fig5_on_the_scene_of_a_run(call, tmp_path):
    """Points alone share little there, although they share much on the ideal scene."""
    run = launch(tmp_path / "run", *SMALL, "camera.resolution=48", "steps=2", "metric=none")
    rows = "noising=consistent", "noising=paper noising.cells=0"
    call(fig5_noise.main, *rows, "--draws", "3", "--scene", run, "--at", "0", "--out", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    default, points = (row["figures"]["correlation, 5°"] for row in result["rows"])
    assert result["scene"] == str(run)
    assert default > 0.5
    assert points < 0.3
    assert (tmp_path / "out" / "figure.png").stat().st_size > 10_000
