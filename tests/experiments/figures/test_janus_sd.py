"""The comparison on a real prior, dry: a few steps of the small network, a blind study, and what is unblinded."""

import json
import sys
from pathlib import Path

import janus_sd
import numpy as np
import pytest
import sweeps
from launch import SMALL, launch
from studies import study, vote

from gsd.errors import GsdError
from gsd.results.runs import done_runs
from gsd.tools.study.analyse import share
from gsd.tools.study.study import QUESTIONS, load


@pytest.fixture
def run(monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["janus_sd", "--name", "dry", *map(str, arguments)])
        janus_sd.main()

    return call


@pytest.fixture
def here(monkeypatch):
    """Sweeps of one run are taken in this process, which imports the networks once."""

    def take(name, overrides, seeds, jobs):
        (seed,) = seeds
        launch(Path("multirun", name, "run"), *overrides, f"name={name}", f"seed={seed}")

    monkeypatch.setattr(sweeps, "launch", take)


def test_from_runs_to_unblinded_shares(run, here, place, capsys):
    """Two methods against SDS, one prompt."""
    small = [each for each in SMALL if not each.startswith(("prior", "metric", "noising", "loss", "guidance", "steps"))]
    few = ("--prompts", "an owl", "--seeds", "0", "--methods", "view guidance, projected", "ESD")
    run("--run", *few, "--calls", "20", "--scale", "2", *small, "prior=tiny", "turntable.views=2")
    calls = {}
    for name in ("SDS", *few[-2:]):
        (only,) = done_runs([place / "multirun" / janus_sd.folder("dry", name)])
        calls[name] = only.summary["prior_calls"]
    assert calls == {"SDS": 20, "view guidance, projected": 21, "ESD": 20}
    out = place / "outputs" / "dry"
    run("--study", "--methods", *few[-2:], "--simulate", "0.8", "--out", out)
    made = load(out / "study")
    assert len(made.pairs) == 2
    assert made.questions["geometry"] == janus_sd.ONE_FRONT
    capsys.readouterr()
    run("--out", out)
    table = capsys.readouterr().out
    assert "SIMULATED RATERS, no people" in table
    assert "view guidance, projected" in table
    result = json.loads((out / "result.json").read_text())
    assert result["raters"] == 39
    assert result["methods"]["ESD"]["votes"] == 39
    assert result["methods"]["ESD"]["geometry"]["value"] > 0.6
    assert (out / "figure.png").stat().st_size > 1000
    with pytest.raises(SystemExit, match=r"give the name that the study was made with"):
        run("--out", out, "--name", "other")


@pytest.mark.parametrize(("calls", "scale"), [(10_000, 7.5), (840, 50.0)])
def test_every_method_has_equal_calls_and_its_numbers(calls, scale):
    for name, method in janus_sd.METHODS.items():
        settings = sweeps.typed(janus_sd.command(method, calls, scale, 5.0, ["prior=tiny"]))
        assert abs(int(settings["steps"]) * method.branches - calls) <= method.branches / 2
        late = settings.get("guidance.guidance_scale.values", f"[1.0,{scale:g}]")
        assert settings.get("guidance.guidance_scale", late[5:-1]) == late[5:-1] == f"{scale:g}"
        assert (settings["prior"], settings["camera.resolution"]) == ("tiny", "256")
        assert settings.get("guidance.view_scale", "5") == "5"
        assert "{" not in "".join(settings.values()), name
    two = sweeps.typed(janus_sd.command(janus_sd.METHODS["SDS"], calls, scale, 5.0, ["camera.views=2"]))
    assert int(two["steps"]) == calls // 4


def test_what_cannot_be_compared_is_refused(run, place):
    with pytest.raises(SystemExit, match="--scale 1: must be above 1"):
        run("--run", "--scale", "1")
    with pytest.raises(SystemExit, match="--calls 3: must be at least"):
        run("--run", "--calls", "3")
    with pytest.raises(SystemExit, match="a comma parts two prompts"):
        run("--run", "--prompts", "a cat, sitting")
    with pytest.raises(SystemExit, match="has no runs of dry that could be compared with SDS; add --run"):
        run("--study")
    with pytest.raises(SystemExit, match="--simulate goes with --study"):
        run("--simulate", "0.6")
    with pytest.raises(SystemExit, match="holds no study"):
        run()


def made(methods):
    """A study of two prompts per method."""
    whole = study(pairs=2 * len(methods), broken=0)
    runs = [
        {"a": "multirun/dry_sds/x", "b": f"multirun/{janus_sd.folder('dry', name)}/x"} for name in methods for _ in "ab"
    ]
    pairs = [scene.model_copy(update={"runs": each}) for scene, each in zip(whole.pairs, runs, strict=True)]
    return whole.model_copy(update={"pairs": tuple(pairs), "least_seconds": 1.0})


def test_votes_count_for_the_method_that_was_shown():
    whole = made(["Perp-Neg", "ESD"])
    votes = []
    for rater in range(4):
        sides = ["b", "b", "a", "b" if rater < 2 else "a"]  # Perp-Neg always, ESD in a quarter of the votes
        votes += [vote(rater, k, side, position=k) for k, side in enumerate(sides)]
        votes.append(vote(rater, 0, "b", kind="mirrored", position=4, left="b"))
    found = janus_sd.analyse(whole, votes, "dry")["methods"]
    assert {name: each["overall"]["value"] for name, each in found.items()} == {"Perp-Neg": 1.0, "ESD": 0.25}
    assert found["ESD"]["votes"] == 8
    with pytest.raises(GsdError, match="No rater counts yet"):
        janus_sd.analyse(whole, votes[:3], "dry")


def test_intervals_are_over_raters_and_prompts():
    methods = ["Perp-Neg", "ESD"]
    whole = made([*methods, *methods])  # four prompts each
    votes = []
    for rater in range(5):
        sides = ["ab"[(rater + k) % 3 > 0] for k in range(8)]
        votes += [vote(rater, k, side, position=k) for k, side in enumerate(sides)]
        votes.append(vote(rater, 0, sides[0], kind="mirrored", position=8, left="b"))
    result = janus_sd.analyse(whole, votes, "dry")
    for number, name in enumerate(methods):
        mine = [v for v in votes if v.kind == "pair" and v.scene // 2 % 2 == number]
        wins = np.array([v.preferred("geometry") == "b" for v in mine], float)
        estimate, p = share(wins, [v.rater for v in mine], [whole.pairs[v.scene].prompt for v in mine])
        got = result["methods"][name]["geometry"]
        assert (got["value"], got["low"], got["high"], got["p"]) == (estimate.value, estimate.low, estimate.high, p)
        assert got["low"] < got["value"] < got["high"]
        assert got["p_holm"] >= got["p"]
    text = janus_sd.text(result)
    assert all(title in text for title in janus_sd.COLUMNS.values())
    assert set(janus_sd.COLUMNS) == set(QUESTIONS)
