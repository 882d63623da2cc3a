"""The benchmark's numbers on outcomes made by hand, its reading of real run folders, and its commands."""

import dataclasses
import math
from pathlib import Path

import janus
import janus_report
import numpy as np
import outcomes
import pytest
import sweeps
from launch import ROOT, SMALL, launch
from made_figure_runs import make
from scipy import stats

from gsd.errors import GsdError
from gsd.results.runs import Run

SDS, NOISE, LOSS, GSD = janus.CELLS.values()
PUBLISHED = ROOT / "docs" / "results" / "janus.csv"
REGIMES = list(janus.REGIMES.values())


def made(method, subject, bias=4.0, seed=0, **numbers):
    whole = {"janus": 0.0, "coherent": 1.0, "psnr": 25.0, "view_error": 5.0, "prior_calls": 1200} | numbers
    return outcomes.Outcome(method, subject, bias, seed, **whole)


def test_an_effect_is_over_animals_and_unpaired_runs_do_not_count():
    gsd = [made(GSD, "a", seed=s, psnr=26.0 + s) for s in range(3)]
    gsd += [made(GSD, "b", psnr=31.0), made(GSD, "c", psnr=30.0), made(GSD, "c", seed=9)]
    sds = [made(SDS, "a", seed=s) for s in range(3)] + [made(SDS, "b"), made(SDS, "c")]
    found = janus_report.effect(gsd, sds, "psnr")
    low, high = stats.t.interval(0.95, 2, np.mean([2, 6, 5]), stats.sem([2, 6, 5]))  # of three animals
    assert (found.mean.value, found.mean.low, found.mean.high) == pytest.approx((13 / 3, low, high))
    assert (found.mean.count, found.p) == (5, 2 / 2**3)
    assert janus_report.effect(gsd, [], "psnr") is None
    assert janus_report.effect(gsd, [made(SDS, "a", bias=8.0)], "psnr") is None  # another setting
    with pytest.raises(GsdError, match="have 1200 and 600 prior calls"):
        janus_report.effect(gsd, [made(SDS, "a", prior_calls=600)], "psnr")


def test_what_the_loss_adds_with_3d_noise_more_than_without():
    """Per animal (GSD - 3D noise) - (loss - SDS); the pair that lacks a cell does not count."""
    psnr = {"a": (30.0, 28.0, 26.0, 25.0), "b": (27.0, 27.0, 24.0, 26.0), "c": (25.0, 26.0, 25.0, 25.0)}
    cells = {"GSD": GSD, "3D noise": NOISE, "loss": LOSS, "SDS": SDS}
    of = {
        name: [made(cells[name], animal, psnr=each[k]) for animal, each in psnr.items()] for k, name in enumerate(cells)
    }
    of["GSD"].append(made(GSD, "d", psnr=99.0))
    found = janus_report.interaction(of, "psnr")
    assert (found.mean.value, found.mean.count) == (pytest.approx((1 + 2 - 1) / 3), 3)
    low, high = stats.t.interval(0.95, 2, 2 / 3, stats.sem([1, 2, -1]))
    assert (found.mean.low, found.mean.high) == pytest.approx((low, high))
    rows = janus_report.comparisons([o for each in of.values() for o in each], janus.METHODS)
    assert rows[-1]["comparison"] == "GSD - 3D noise - (loss - SDS)"
    assert rows[-1]["PSNR dB"] == f"+0.7 [{low:+.1f}, {high:+.1f}]"


def test_an_interaction_of_shares_is_less_certain_than_its_parts():
    """Where no run differs, and where some do: it has a pair more that differs for each of the two differences."""
    animals = [f"animal {k}" for k in range(8)]
    same = {name: [made(method, animal) for animal in animals] for name, method in janus.CELLS.items()}
    whole, part = janus_report.interaction(same, "coherent"), janus_report.effect(same["GSD"], same["SDS"], "coherent")
    t = stats.t.ppf(0.975, 7)
    assert (part.mean.high, part.mean.low) == pytest.approx((t * (2 / 7 / 8) ** 0.5, -t * (2 / 7 / 8) ** 0.5))
    assert (whole.mean.high, whole.mean.low) == pytest.approx((t * (4 / 7 / 8) ** 0.5, -t * (4 / 7 / 8) ** 0.5))
    some = same | {"GSD": [made(GSD, animal, coherent=float(k > 1)) for k, animal in enumerate(animals)]}
    found = janus_report.interaction(some, "coherent")
    half = t * ((2 * 0.75**2 + 6 * 0.25**2 + 4) / 7 / 8) ** 0.5
    assert (found.mean.value, found.mean.high) == pytest.approx((-0.25, -0.25 + half))
    (row,) = [
        r
        for r in janus_report.comparisons([o for each in same.values() for o in each], janus.METHODS)
        if "(loss" in r["comparison"]
    ]
    assert row["coherent, points"] == "+0 [-63, +63]"


def test_the_bias_at_which_half_the_runs_break_is_read_off_straight_lines():
    broken = {2.0: 0, 4.0: 1, 8.0: 3}  # of four seeds, on every animal
    runs = [
        made(SDS, subject, bias, seed, coherent=float(seed >= count))
        for subject in janus.SUBJECTS
        for bias, count in broken.items()
        for seed in range(4)
    ]
    found = janus_report.breaking_bias(runs)
    assert found.value == pytest.approx(6)  # between 25 % at 4 and 75 % at 8
    assert 4 < found.low < 6 < found.high < 8
    never = [made(SDS, subject, bias) for subject in janus.SUBJECTS for bias in broken]
    assert janus_report.bias_text(janus_report.breaking_bias(never), [2.0, 8.0]) == "> 8 [> 8, > 8]"


def test_the_interval_of_the_breaking_bias_covers():
    """Of animals that break at 4 +- 2, in 200 benchmarks (a standard deviation of 1.5 %)."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        at = rng.normal(4.0, 2.0, 8)
        runs = [
            made(SDS, str(k), bias, seed, coherent=float(bias + rng.normal(0, 1) < at[k]))
            for k in range(8)
            for bias in (1.0, 3.0, 5.0, 7.0)
            for seed in range(5)
        ]
        found = janus_report.breaking_bias(runs)
        held += found.low <= 4 <= found.high
    assert held / 200 > 0.93


def test_a_real_run_is_an_outcome(tmp_path):
    axes = ("prior.view_bias=0.5", "prior.view_words=2", "guidance.guidance_scale=1")
    typed = ("prompt=an owl", "seed=3", *axes, *GSD.split(), "camera.views=4")
    folder = launch(tmp_path / "run", *SMALL, "steps=3", *typed)
    everywhere = [key for key in sweeps.typed(SMALL) if key != "camera.views"] + ["prompt", "seed"]
    found = outcomes.outcome(Run(folder), REGIMES, everywhere)
    setting = outcomes.Setting(0.5, 2.0, 1.0, "camera.views=4")
    assert (found.method, found.pair, found.prior_calls) == (GSD, ("an owl", 3, setting), 12)
    assert (found.coherent, found.janus, found.turned, found.empty) == (0, 0, 0, 1)  # a grey ball
    first = Run(folder).records()[0]  # the one of its three steps that measures
    assert found.correlation == first["noise/correlation"]
    assert found.coverage == first["noise/coverage"]
    assert found.share == first["loss/consistency/share"]


def test_another_prior_is_part_of_the_setting_and_not_of_the_method(tmp_path):
    typed = ("prior=tiny", "prior.view_bias=8", "guidance.guidance_scale=2")
    measured = {"psnr_aligned": 20.0, "view_error_deg": 5.0, "janus": 0.0, "face_count": 1, "front_count": 1}
    folder = make(tmp_path, f"{' '.join(typed)} {SDS}", "an owl", 3, measured)
    (folder / "metrics.jsonl").write_text("")
    found = outcomes.outcome(Run(folder), REGIMES, ["prompt", "seed"])
    assert (found.method, found.prior) == (SDS, "tiny")
    assert str(found.setting) == "bias 8, scale 2, prior=tiny"
    menagerie = dataclasses.replace(found, prior="menagerie")
    assert menagerie.setting == outcomes.Setting(8.0, 4.0, 2.0, "")
    assert str(menagerie.setting) == "bias 8, words 4, scale 2"
    assert janus_report.effect([found], [menagerie], "psnr") is None


def test_the_published_runs_of_the_small_network_say_so(tmp_path):
    known = outcomes.read(ROOT / "docs" / "results" / "cure_tiny.csv", REGIMES)
    assert (len(known), {o.prior for o in known}) == (96, {"tiny"})
    asked = {o.method for o in known}
    sections = janus_report.sections(known, {name: name for name in asked}, {"defaults": ""})
    assert not [title for title in sections if "words" in title]
    assert {row["setting"] for row in sections["What becomes of the runs"]} == {
        "bias 8, scale 2, prior=tiny",
        "bias 8, scale 7.5, prior=tiny",
    }
    outcomes.write(tmp_path / "runs.csv", known)
    assert repr(outcomes.read(tmp_path / "runs.csv", REGIMES)) == repr(known)
    assert {o.prior for o in outcomes.read(PUBLISHED, REGIMES)} == {"menagerie"}  # of an earlier version


def test_several_settings_are_taken_together_prior_by_prior():
    runs = [
        made(method, "an owl", bias, prior=prior)
        for method in (SDS, GSD)
        for bias in (4.0, 8.0)
        for prior in ("menagerie", "tiny")
    ]
    titles = [title for title in janus_report.sections(runs, janus.METHODS, {"defaults": ""}) if "over all" in title]
    assert titles == [
        "Differences over all biases and words, scale 1, defaults",
        "Differences over all biases of prior=tiny, scale 1, defaults",
    ]


def test_every_setting_has_equal_prior_calls():
    for regime in REGIMES:
        for scale in (1.0, 7.5):
            settings = sweeps.typed(janus.command(GSD, regime, scale, []))
            per_step = int(settings.get("camera.views", 2)) * (1 if scale == 1 else 2)
            assert int(settings["steps"]) * per_step == 2 * janus.STEPS
    assert sweeps.typed(janus.command(GSD, "", 7.5, ["steps=20", "turntable.views=8"])).items() >= {
        ("steps", "10"),
        ("turntable.views", "8"),
    }


def test_methods_have_the_kernel_of_the_published_runs_and_do_not_name_it(tmp_path):
    kernels = {
        name: sweeps.typed(janus.command(janus.METHODS[name], "", 1.0, [])).get("noising.kernel")
        for name in ("SDS", "GSD", "3D noise, tent", "lattice")
    }
    assert kernels == {"SDS": None, "GSD": "box", "3D noise, tent": "tent", "lattice": None}
    typed = ("prompt=an owl", "prior.view_bias=4", "guidance.guidance_scale=1", *NOISE.split())
    for kernel, method in (("box", NOISE), ("trapezoid", f"{NOISE} noising.kernel=trapezoid")):
        folder = launch(tmp_path / kernel, *SMALL, "steps=1", *typed, f"noising.kernel={kernel}")
        assert outcomes.outcome(Run(folder), REGIMES, [*sweeps.typed(SMALL), "prompt", "seed"]).method == method


def test_what_is_launched_is_what_was_asked_for(monkeypatch):
    """Two methods at two scales: a sweep each over the biases, words and animals."""
    launched = []
    monkeypatch.setattr(sweeps, "launch", lambda name, overrides, seeds, jobs: launched.append((overrides, seeds)))
    asked = "--methods SDS GSD --scale 1 7.5 --bias 0 8 --animals 2 --seeds 5-9"
    monkeypatch.setattr("sys.argv", ["janus", *asked.split()])
    monkeypatch.setattr(sweeps, "start", lambda options, main: janus.launch(options.parse_args()))
    janus.main()
    assert [sweeps.typed(each)["guidance.guidance_scale"] for each, _ in launched] == ["1", "7.5"] * 2
    settings = sweeps.typed(launched[1][0])
    assert (settings["prior.view_bias"], settings["prior.view_words"], settings["steps"]) == ("0,8", "4", "300")
    assert settings["prompt"] == "a cat with a hat,a goose made out of gold"
    assert launched[0][1] == range(5, 10)
    monkeypatch.setattr("sys.argv", ["janus", "prior=tiny", *asked.split()])
    launched.clear()
    janus.main()
    assert {key for key in sweeps.typed(launched[0][0]) if key.startswith("prior")} == {"prior", "prior.view_bias"}
    monkeypatch.setattr("sys.argv", ["janus"])
    launched.clear()
    janus.main()
    assert [sweeps.typed(each)["guidance.guidance_scale"] for each, _ in launched] == ["1", "7.5"] * 4
    counts = [
        len(sweeps.typed(each)["prompt"].split(",")) * len(sweeps.typed(each)["prior.view_bias"].split(",")) * len(some)
        for each, some in launched
    ]
    assert sum(counts) == 4000
    with pytest.raises(GsdError, match="write --seeds 0-4"):
        janus.seeds("a few")


def test_the_outcomes_are_kept(tmp_path):
    runs = [made(SDS, "a", 0.5, words=0.0, scale=7.5, regime="prompting=plain", empty=1.0, turned=0.0, coherent=0.0)]
    runs += [made(SDS, name, empty=0.0, turned=0.0) for name in "bcd"]
    outcomes.write(tmp_path / "runs.csv", runs)
    assert repr(outcomes.read(tmp_path / "runs.csv", REGIMES)) == repr(runs)  # nan is not nan
    several, alone = janus_report.rates(runs, janus.METHODS)
    assert [several[f"{name} %"].split()[0] for name in ("coherent", "Janus", "turned", "empty")] == ["100", *"000"]
    assert (several["turned %"][:3], alone["empty %"]) == ("0 [", "100")  # of one animal there is no interval
    with pytest.raises(GsdError, match=r"nowhere.csv does not exist"):
        outcomes.read(Path("nowhere.csv"), REGIMES)


def test_the_published_runs_are_read_and_the_page_says_what_they_show():
    known = outcomes.read(PUBLISHED, REGIMES)
    assert len({(o.method, o.pair) for o in known}) == len(known) == 2120
    assert {o.prior_calls for o in known} == {1200}  # equal prior calls, or nothing is compared
    assert {o.method for o in known} == set(janus.METHODS.values())
    assert {o.regime for o in known} == set(REGIMES)
    assert all(math.isnan(o.empty) for o in known)
    asked = {janus.METHODS[name] for name in ("SDS", "3D noise", "GSD", "GSD, eq. 9 in the loss")}
    sections = janus_report.sections([o for o in known if o.method in asked], janus.METHODS, janus.REGIMES)
    page = (ROOT / "docs" / "results.md").read_text()
    for title, comparison in (
        ("at bias 2, words 4, scale 1", "3D noise - SDS"),
        ("at bias 2, words 4, scale 1", "GSD - SDS"),
        ("at bias 4, words 4, scale 1", "GSD, eq. 9 in the loss - SDS"),
        ("at bias 4, words 4, scale 1, camera.views=4", "GSD - SDS"),
        ("over all biases and words, scale 1, defaults", "3D noise - SDS"),
    ):
        (row,) = [r for r in sections[f"Differences {title}"] if r["comparison"] == comparison]
        numbers = ("Janus, points", "p", "coherent, points", "p ", "PSNR dB", "p  ")
        assert " | ".join(row[number] for number in numbers) in page, (title, comparison)
    assert "adjusted for their number (Holm)" in janus_report.text(sections)
    assert len(janus_report.draw([o for o in known if not o.regime], janus.CELLS).axes) == 3
