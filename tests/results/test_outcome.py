"""Four outcomes that exclude each other: what shows nothing is neither Janus nor right."""

import pytest
from made_runs import make

from gsd.results.outcome import OUTCOMES, outcome, verdict
from gsd.results.table import read


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0, 0, 1, 1), "one front"),
        ((0, 0, 0, 0), "no front is seen"),
        ((1, 0, 0, 3), "empty: nothing that could have a face"),
        ((0, 1, 0, 2), "Janus: 2 fronts"),
    ],
)
def test_verdicts(numbers, text):
    assert verdict(dict(zip(("empty", "janus", "face_count", "front_count"), numbers, strict=True))) == text


def test_a_run_from_before_empty_was_measured_has_none():
    assert outcome({"janus": 1.0, "face_count": 2.0, "front_count": 2.0}) == "janus"
    assert outcome({"psnr_aligned": 20.0}) is None


def test_the_shares_of_a_run_are_over_its_scenes(tmp_path):
    fronts = {"one_front": (0, 0, 1), "janus": (0, 1, 3), "empty": (1, 0, 0)}
    scenes = [
        dict(zip(("empty", "janus", "front_count", "face_count"), (*map(float, each), float(each[2])), strict=True))
        for each in (fronts["one_front"], fronts["janus"], fronts["empty"], fronts["one_front"])
    ]
    means = {name: sum(scene[name] for scene in scenes) / 4 for name in scenes[0]}
    make(tmp_path / "run", metrics=means | {"particles": scenes})
    (row,) = read([tmp_path]).rows
    assert [row.metrics[name] for name in OUTCOMES] == [0.5, 0.25, 0.0, 0.25]
    assert row.verdict == "one front; Janus: 3 fronts; empty: nothing that could have a face; one front"
