"""Fig. 12 on runs whose curves are made by hand, beside animals whose faces are known, and from nothing."""

import json

import fig12_clip as fig12
import numpy as np
import pytest
from made_figure_runs import TURNTABLE, make
from omegaconf import OmegaConf
from PIL import Image
from scipy import stats

from gsd.errors import GsdError
from gsd.metric.clip_view import harmonic
from gsd.results.runs import Run, find_runs

SDS, GSD = fig12.FIGURE.methods.values()
AZIMUTH = np.arange(TURNTABLE["views"]) * 360.0 / TURNTABLE["views"]
PROMPTS = {"an owl": 0.1, "a corgi": 0.04, "a penguin": 0.075}  # and half of SDS's margin with one face
ASKED = tuple(word for prompt in PROMPTS for word in ("--prompt", prompt))


def numbers(margin, janus, level=0.3):
    """Curves whose front minus back is 2 margin cos(azimuth), and a verdict."""
    wave = margin * np.cos(np.deg2rad(AZIMUTH))
    curves = {"clip_front": level + wave, "clip_side": 0 * wave + level, "clip_back": level - wave}
    found = harmonic(2 * wave, AZIMUTH, 0.0)
    verdict = {"janus": janus, "face_count": 1 + janus, "front_count": 1 + janus, "view_error_deg": 5.0}
    told = {"clip_view_accuracy": 0.9, "clip_janus_share": 0.2, "clip_yaw_deg": 0.0}
    return {key: curve.tolist() for key, curve in curves.items()} | found | told | verdict


@pytest.fixture
def made(place):
    """Of every method and prompt a run with one face and one with two, whose margin is the smaller one."""
    for method in (SDS, GSD):
        for prompt, half in PROMPTS.items():
            good = half + (0.01 if method == GSD else 0.0)
            make(place / "multirun" / "fig12", method, prompt, 0, numbers(good, 0))
            make(place / "multirun" / "fig12", method, prompt, 1, numbers(good - 0.02, 1))
    return place / "outputs" / "fig12"


def test_curves_margins_and_what_they_tell(made, call):
    call(fig12.main, *ASKED)
    result = json.loads((made / "result.json").read_text())
    sds, _, true, two_faced, difference = result["table"]
    assert [row[""] for row in result["table"]] == ["SDS", "GSD", *fig12.KNOWN.values(), "GSD - SDS"]
    assert (sds["turns"], sds["Janus %"], two_faced["turns"], two_faced["Janus %"]) == (6, "50", 3, "100")
    low, high = stats.t.interval(0.95, 2, 0.37 / 3, stats.sem([0.18, 0.06, 0.13]))  # three prompts
    assert sds["margin"] == f"0.123 [{low:.3f}, {high:.3f}]"
    assert difference["margin"] == "+0.020 [+0.020, +0.020], p 1"  # 2 / 2**3, four times for four numbers
    assert float(true["margin"].split()[0]) > 3 * float(two_faced["margin"].split()[0])
    margin, harmonics, *rest = result["agreement"]
    janus, same, incoherent, animals = (margin[column] for column in list(margin)[1:])
    assert list(margin)[1] == "6 Janus, 6 not"
    # of 36 pairs 25 are right: all of the good owls', 4 and 5 of the penguins', the corgis' own
    assert janus.split()[0] == "0.694"
    assert same == f"1.000 [{3 / (3 + stats.t.ppf(0.975, 2) ** 2):.3f}, 1.000]" == animals  # as of three right ones
    assert incoherent == janus  # what is incoherent here is Janus
    assert harmonics["the same, same prompt"] == same
    assert all(row["the same, same prompt"].startswith("0.500") for row in rest)  # numbers that are the same for all
    assert "no demonstrated relation to the truth's Janus verdict (area 0.694" in (made / "table.md").read_text()
    assert len(result["each"]["SDS"]) == 6
    with Image.open(made / "figure.png") as picture:
        assert picture.width > picture.height > 500
    assert (made / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_runs_without_the_truth_have_no_verdict(place, call, monkeypatch):
    """As with Stable Diffusion: only the known animals, here the whole menagerie, say what the numbers are worth."""
    monkeypatch.setattr(fig12, "load", lambda: {"owl": None, "corgi": None})
    plain = {key: value for key, value in numbers(0.1, 0).items() if key.startswith("clip")}
    for method in (SDS, GSD):
        make(place / "multirun" / "fig12", method, "a wombat", 0, plain)
    call(fig12.main, "--prompt", "a wombat")
    result = json.loads((place / "outputs" / "fig12" / "result.json").read_text())
    assert [row["turns"] for row in result["table"]] == [1, 1, 2, 2, "1 pairs"]
    assert result["table"][0]["Janus %"] == ""
    assert list(result["agreement"][0].values())[1:4] == ["", "", ""]
    assert float(result["agreement"][0]["two-faced, true"].split()[0]) == 1


def test_the_known_animals_are_seen_as_the_runs_are(made, monkeypatch):
    seen = {}

    def known(metric, kind, prompts, cameras):
        seen[kind] = (prompts, len(cameras), cameras.width, round(float(cameras.distance[0]), 3), metric.chunk)
        return [numbers(0.1, 0) for _ in prompts]

    monkeypatch.setattr(fig12.calibration, "known", known)
    run = find_runs(["multirun/fig12"])[0]
    config = run.config | {"metric": {"clip_view": {"_target_": "gsd.metric.clip_view.ClipView", "chunk": 3}}}
    OmegaConf.save(config, run.path / "config.yaml")
    run = Run(run.path)
    rows = fig12.known(run, ["a wombat", "an owl"], 12)
    assert seen["true"] == seen["two-faced"] == (["an owl"], 12, 32, 2.2, 3)
    assert [row["janus"] for title in fig12.KNOWN.values() for row in rows[title]] == [0, 1]


def test_runs_without_curves_are_told_what_to_do(place):
    path = make(place / "multirun" / "fig12", SDS, "a penguin", 0, {"psnr_aligned": 20.0})
    with pytest.raises(GsdError, match=r"has no curves; measure them: gsd evaluate .* metric=clip_view"):
        fig12.seen(Run(path))


@pytest.mark.slow
def test_from_nothing(place, call):
    """Real runs of 60 steps: CLIP finds the fronts of true animals, whatever it says of what so few steps make."""
    small = ("steps=60", "checkpoint_every=1000", "init.points=1000", "turntable.views=24")
    call(fig12.main, "--run", *ASKED, "--seeds", "1", *small)
    result = json.loads((place / "outputs" / "fig12" / "result.json").read_text())
    assert [row["turns"] for row in result["table"]] == [2, 2, 2, 2, "2 pairs"]
    assert all(len(row["clip_front"]) == 24 for rows in result["each"].values() for row in rows)
    assert float(result["agreement"][0]["two-faced, true"].split()[0]) == 1
    assert all(run.config["prior"]["view_bias"] == 4 for run in find_runs(["multirun/fig12"]))
