"""Four outcomes that exclude each other, on numbers made by hand and on turntables whose answer is known."""

import pytest
import torch
from made_runs import make

from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.truth import Truth
from gsd.results.measure import measure
from gsd.results.outcome import OUTCOMES, outcome, verdict
from gsd.results.table import read
from gsd.types import Context, Render

NUMBERS = ("empty", "janus", "face_count", "front_count", "view_error_deg")
CASES = {
    "coherent: 1 face": (0, 0, 1, 1, 19),
    "coherent, but no face is seen": (0, 0, 0, 1, 5),
    "turned: views are 21 degrees off": (0, 0, 1, 1, 21),
    "turned: views are 90 degrees off": (0, 0, 0, 0, 90),
    "Janus: 3 fronts": (0, 1, 2, 3, 40),
    "empty: nothing that could have a face": (1, 0, 0, 3, 90),
}
VIEWS = 40


def numbers(text):
    return dict(zip(NUMBERS, map(float, CASES[text]), strict=True))


@pytest.mark.parametrize("text", CASES)
def test_verdicts(text):
    assert verdict(numbers(text)) == text


def test_what_was_not_measured_has_no_outcome():
    whole = numbers("Janus: 3 fronts")
    assert outcome({key: value for key, value in whole.items() if key != "empty"}) == "janus"  # an earlier version
    assert outcome({key: value for key, value in whole.items() if key != "view_error_deg"}) is None
    assert outcome({"psnr_aligned": 20.0}) is None


def test_the_shares_of_a_run_are_over_its_scenes(tmp_path):
    texts = ["coherent: 1 face", "Janus: 3 fronts", "empty: nothing that could have a face", "coherent: 1 face"]
    scenes = [numbers(text) for text in texts]
    means = {name: sum(scene[name] for scene in scenes) / 4 for name in scenes[0]}
    make(tmp_path / "run", metrics=means | {"particles": scenes})
    (row,) = read([tmp_path]).rows
    assert [row.metrics[name] for name in OUTCOMES] == [0.5, 0.25, 0.0, 0.25]
    assert row.verdict == "; ".join(texts)


def shown(kind, figure, cameras):
    """A turntable of the true animal, or of what has gone wrong with it."""
    if kind == "two faces":
        return trace(figure.two_faced(), cameras)
    if kind == "no face":
        return trace(figure[~figure.face], cameras)
    true = trace(figure, cameras)
    if kind in ("blank", "noise"):
        noise = torch.rand(true.rgb.shape, generator=torch.Generator().manual_seed(0))
        rgb = torch.ones_like(true.rgb) if kind == "blank" else noise
        return Render(rgb, true.depth, torch.full_like(true.alpha, float(kind == "noise")))
    if kind == "mirrored":
        return Render(*(each.flip(-1) for each in (true.rgb, true.depth, true.alpha)))
    views = torch.arange(VIEWS)
    order = {
        "true": views,
        "yaw": views.roll(7),  # which is a run's own choice
        "backwards": views.flip(0),
        "two quarters exchanged": views.view(4, -1)[[0, 2, 1, 3]].ravel(),
        "a half exchanged": views.view(4, -1)[[0, 1, 0, 1]].ravel(),
    }[kind]
    return Render(true.rgb[order], true.depth[order], true.alpha[order])


@pytest.mark.parametrize("name", ["owl", *(pytest.param(n, marks=pytest.mark.slow) for n in load() if n != "owl")])
def test_turntables_have_the_outcome_that_they_were_made_to_have(name):
    cameras = turntable(VIEWS, 32)
    truth = {"truth": Truth(Context(name), resolution=32, variants=2, azimuths=36)}
    wanted = {
        "coherent": ("true", "yaw"),
        "janus": ("two faces", "a half exchanged"),
        "turned": ("backwards", "mirrored", "two quarters exchanged"),
        "empty": ("blank", "noise"),
    }
    if name != "snail":  # without its face, its views are 24 degrees off
        wanted["coherent"] += ("no face",)
    for want, kinds in wanted.items():
        for kind in kinds:
            found = measure(truth, shown(kind, load()[name].figure(0), cameras), cameras, name)
            assert outcome(found) == want, kind
            assert [each for each in OUTCOMES if found[each]] == [want], kind
            assert sum(found[each] for each in OUTCOMES) == 1
