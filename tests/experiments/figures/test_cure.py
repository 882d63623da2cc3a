"""What the second protocol launches, that its methods have equal calls, and how its goals are judged."""

import math
import sys

import cure
import outcomes
import pytest
import sweeps
from launch import SMALL, launch

from gsd.results.runs import Run

BANK = ("prior.azimuths=12", "prior.elevations=[0]", "metric=none")


def test_no_animal_that_was_looked_at_is_among_those_that_confirm():
    assert len(cure.FRESH) == 12
    assert not [subject for subject in cure.FRESH if any(name in subject for name in cure.LOOKED_AT)]


RIVALS = [(name, 1.0, 1) for name in cure.RIVALS]


@pytest.mark.parametrize(
    ("method", "scale", "views"),
    [*((name, *at) for at in ((1.0, 1), (7.5, 1), (7.5, 2)) for name in cure.METHODS), *RIVALS],
)
def test_methods_have_equal_prior_calls(method, scale, views, tmp_path, monkeypatch):
    """In runs of a twentieth of the length."""
    monkeypatch.setattr(cure, "CALLS", 60)
    assert calls(cure.command(cure.ALL[method], scale, [f"camera.views={views}"]), tmp_path) == 60


@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize("method", [name for name, method in cure.OTHERS.items() if method.until < 1])
def test_a_cure_that_ends_has_as_many_but_for_whole_steps(method, scale, tmp_path, monkeypatch):
    monkeypatch.setattr(cure, "CALLS", 60)
    found = calls(cure.command(cure.ALL[method], scale), tmp_path)
    assert 57 <= found <= 60  # less than a step is left over; two changes are at the nearest step


def calls(command, folder):
    settings = sweeps.typed([*command, *BANK, *SMALL])
    launch(folder, *(f"{key}={value}" for key, value in settings.items()), "prompt=a pug")
    return Run(folder).summary["prior_calls"]


def judged(coherent, janus=0, psnr=25.0, runs=24):
    """Runs of 12 animals, of which so many are coherent and so many Janus; SDS has 25 dB."""

    def run(method, k, psnr):
        outcome = (float(k >= runs - janus), float(k < coherent))
        return outcomes.Outcome(method, f"animal {k % 12}", 8.0, k // 12, *outcome, psnr, 5, 1200)

    row = cure.goals([run(*each) for k in range(runs) for each in (("SDS", k, 25.0), ("5 g", k, psnr + k % 2 / 10))])[1]
    assert (row["runs"], row["coherent"], row["janus"]) == (runs, str(coherent), str(janus))
    return row["goals"]


def test_goals_are_reached_missed_or_missed_beyond_doubt():
    assert judged(22) == judged(22, janus=1) == "reached"
    assert judged(21) == judged(22, janus=2) == "missed"
    assert judged(54, janus=3, runs=60) == "reached"  # 90 and 5 % to the run, whatever floats add up to
    assert judged(56, janus=4, runs=60) == judged(53, janus=3, runs=60) == "missed"
    assert judged(8) == judged(24, psnr=23.8) == "missed beyond doubt"
    assert judged(24, psnr=23.95) == "reached"  # every other run has a tenth more
    assert judged(24, psnr=23.94) == "missed, the price alone"


def test_part_one_is_launched_seed_by_seed_with_strengths_that_follow_the_scale(monkeypatch):
    launched = []
    monkeypatch.setattr(sweeps, "launch", lambda name, overrides, seeds, jobs: launched.append((overrides, seeds)))
    monkeypatch.setattr(sweeps, "start", lambda options, main: cure.launch(options.parse_args()))
    monkeypatch.setattr(sys, "argv", ["cure", "--run"])
    cure.main()
    assert [seeds[0] for _, seeds in launched] == sorted([*cure.SEEDS] * 12)
    strengths = [sweeps.typed(overrides).get("guidance.view_scale") for overrides, _ in launched[:12]]
    assert strengths == [None, "5", "2", None, None, "15", "6", None, None, "37.5", "15", None]


def test_what_was_typed_names_the_method_and_its_scale():
    typed = [
        ("", 7.5),
        ("guidance.view_scale=5", 1.0),
        ("guidance.view_projection=opposed guidance.view_scale=15", 7.5),
        ("experiment=janus_cure guidance.guidance_scale.values=[1.0,3]", 1.0),
        ("guidance.view_scale=9", 1.0),
        ("guidance.view_scale=2", 2.0),
        ("guidance.view_scale=2", 1.0),
        ("5 g", 3.0),
        ("experiment=perp_neg", 1.0),
        ("prompting.away_from=plain guidance.view_scale=5", 1.0),
        ("experiment=plain_negative", 1.0),
        ("experiment=plain_negative", 24.0),
        ("experiment=plain_negative", 25.0),
        (
            "experiment=janus_cure guidance.guidance_scale.values=[1.0,3] guidance.view_scale.values=[10.0,5.0,0.0] "
            r"guidance.view_scale.at=[$\{gsd.step\:300\,600\},$\{gsd.step\:400\,600\}]",
            1.0,
        ),
    ]
    runs = [outcomes.Outcome(method, "a pug", 8.0, 0, 0, 1, 25, 5, 1200, scale=scale) for method, scale in typed]
    known = [(each.method, each.scale) for each in cure.named(runs)]
    strengths = [("1 g", 2.0), ("2 g", 1.0)]
    assert known == [
        ("SDS", 7.5),
        ("5 g", 1.0),
        ("2 g, opposed", 7.5),
        ("janus_cure", 3.0),
        *strengths,
        ("5 g", 3.0),
        ("Perp-Neg", 1.0),
        ("5 g from plain", 1.0),
        ("plain negative", 1.0),
        ("plain negative, 24", 1.0),
        ("janus_cure, until 2/3", 3.0),
    ]


def test_a_run_that_is_published_too_counts_once():
    here = outcomes.Outcome("guidance.view_scale=5", "a pug", 8.0, 0, 0, 1, 25, 5, 1200)
    there = outcomes.Outcome("5 g", "a pug", 8.0, 0, 0, 1, 24, 5, 1200)
    other = outcomes.Outcome("5 g", "a pug", 8.0, 1, 0, 1, 24, 5, 1200)
    assert [(each.method, each.seed, each.psnr) for each in cure.named([here, there, other])] == [
        ("5 g", 0, 25),
        ("5 g", 1, 24),
    ]


def test_another_prior_has_no_settings_of_the_menagerie(monkeypatch):
    launched = []
    monkeypatch.setattr(sweeps, "launch", lambda name, overrides, seeds, jobs: launched.append(sweeps.typed(overrides)))
    monkeypatch.setattr(sweeps, "start", lambda options, main: cure.launch(options.parse_args()))
    asked = "cure prior=tiny --bias 8 --scale 2 --animals fox elephant --seeds 0 --methods"
    monkeypatch.setattr(sys, "argv", [*asked.split(), "1 g"])
    cure.main()
    (settings,) = launched
    assert {key: value for key, value in settings.items() if key.startswith("prior")} == {
        "prior": "tiny",
        "prior.view_bias": "8",
    }
    assert settings["prompt"] == "a fox,an elephant"
    assert settings["guidance.view_scale"] == "2"


def test_no_theory_is_told_of_texts_that_do_not_name_the_side():
    runs = [
        outcomes.Outcome("5 g", name, 8.0, seed, 0, 1, 25, 5, 1200) for name in ("a pug", "a pig") for seed in (0, 1)
    ]
    ((named,), (unnamed,)) = cure.goals(runs), cure.goals(runs, named_sides=False)
    assert named.pop("theory: back") == "yes"
    assert float(named.pop("theory: sides off by")) > 0
    assert unnamed.pop("theory: back") == unnamed.pop("theory: sides off by") == ""
    assert named == unnamed


def test_theory_says_where_the_back_is_seen_and_how_far_sides_are_off():
    """Side views are off by 45 degrees where words and bias are alike."""
    at = outcomes.Setting(8.0, 4.0, 7.5, "")
    assert [cure.predicted(method, at)[0] for method in cure.METHODS] == [False, True, True, True]
    assert cure.predicted("SDS", at._replace(bias=4.0)) == (False, pytest.approx(45))
    assert cure.predicted("5 g", at) == (True, pytest.approx(math.degrees(math.atan(8 / 44))))
    assert cure.predicted("5 g", at._replace(bias=12.0, words=1.0))[0] is False
    assert cure.predicted("10 g from plain", at) == cure.predicted("5 g", at)  # which counts the words twice
    assert cure.predicted("janus_cure", at) == cure.predicted("janus_cure", at._replace(scale=1.0))
    ended = cure.predicted("janus_cure, until 2/3", at)
    assert ended == (False, cure.predicted("janus_cure", at)[1])  # sides as they were, but the text asks for the front
    assert cure.predicted("janus_cure, until 2/3", at._replace(bias=3.0))[0] is True
