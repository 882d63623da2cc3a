"""The animals with known faces are what they are called."""

import pytest

from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import load
from gsd.metric.check.calibration import area, known, prompt, with_faces
from gsd.metric.clip_view import ClipView


def test_an_area_counts_ties_for_a_half():
    assert area([3.0, 1.0], [1.0, 0.0]) == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_faces_are_added_and_taken_away():
    figure = load()["owl"].figure(0)
    assert with_faces("two-faced", figure).face.sum() == 2 * figure.face.sum() > 0
    assert not with_faces("faceless", figure).face.any()
    assert with_faces("true", figure) is figure


def test_a_second_face_lowers_the_margin_of_every_animal():
    metric, cameras = ClipView(), turntable(12, 32)
    prompts = [prompt(name) for name in ("owl", "corgi")]
    assert prompts == ["a full body of an owl", "a full body of a corgi"]
    true, two_faced = (known(metric, kind, prompts, cameras) for kind in ("true", "two-faced"))
    assert all(one["clip_margin"] > other["clip_margin"] for one, other in zip(true, two_faced, strict=True))
    with pytest.raises(GsdError):
        known(metric, "true", ["a wombat"], cameras)
