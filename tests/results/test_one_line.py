"""What has line breaks or no value does not break tables and JSON."""

import json
import math

import torch

from gsd.geometry import turntable
from gsd.results.markdown import table
from gsd.results.measure import means, measure
from gsd.results.sweep_folder import Standing
from gsd.results.sweep_folder import table as standings
from gsd.types import Render


def test_a_line_break_in_a_cell_is_a_space():
    lines = table([{"prompt": "a fox\nin the\r\nsnow", "psnr": 1}]).splitlines()
    assert [line.count("|") for line in lines] == [3, 3, 3]
    assert "a fox in the snow" in lines[2]


def test_a_line_break_in_an_override_is_a_space():
    row = Standing("0a1b", "failed", 3, 9, ["prompt=a fox\nin snow"], "no\nspace")
    assert len(standings([row]).splitlines()) == 2


def test_what_is_not_determined_is_left_out():
    def metric(show, cameras, prompt):
        return {"clip_margin": 0.1, "clip_margin_low": math.nan, "clip_front": [0.2]}

    cameras = turntable(1, 8)
    show = Render(torch.ones(1, 3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
    measured = measure({"one": metric}, show, cameras, "")
    assert measured == {"clip_margin": 0.1, "clip_front": [0.2]}
    json.dumps(measured, allow_nan=False)
    assert means([measured, measured | {"clip_margin_low": 0.0}]) == {"clip_margin": 0.1}
