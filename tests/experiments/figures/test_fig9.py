"""Fig. 9 on runs of which all is known, and from nothing."""

import json
import re

import convergence
import fig9_convergence as fig9
import gallery
import numpy as np
import pytest
from made_figure_runs import make
from PIL import Image

from gsd.errors import GsdError
from gsd.results.runs import find_runs
from gsd.statistics.pairs import paired

SDS, _, _, GSD = fig9.FIGURE.methods.values()
PROMPTS = ("an owl", "a corgi")
ASKED = ("--prompt", "an owl", "--prompt", "a corgi")
CALLS = (0, 100, 200, 300, 400)
REACHED = {  # prior calls at which 25 dB are reached, by prompt and seed; None: never
    SDS: {("an owl", 0): 200, ("an owl", 1): 300, ("a corgi", 0): 400, ("a corgi", 1): None},
    GSD: {("an owl", 0): 100, ("an owl", 1): 300, ("a corgi", 0): 200, ("a corgi", 1): None},
}
for by_seed in REACHED.values():  # and the third seed is as the first
    by_seed.update({(prompt, 2): by_seed[prompt, 0] for prompt in PROMPTS})
COHERENT = {"janus": False, "face_count": 1, "front_count": 1, "view_error_deg": 5.0}
T = 4.3027  # Student's of two degrees of freedom


def history(at, drop=()):
    """20 dB before `at` and 26 from there on; a gradient cosine from the first step."""
    records = []
    for calls in CALLS:
        record = {"step": calls // 2, "prior_calls": calls, "seconds": 0.0}
        record |= {"gradient_cosine": 0.5} if calls else {}
        record |= {"psnr_aligned": 26.0 if at is not None and calls >= at else 20.0}
        record |= {"view_error_deg": 100.0 - calls / 5, "face_fraction": 0.25, "clip_front": [0.1, 0.2]}
        records.append({key: value for key, value in record.items() if key not in drop})
    return records


@pytest.fixture
def made(place):
    """Writes multirun/fig9 with two methods, two prompts and three seeds; the other two methods are as SDS."""

    def write(drop=()):
        for method in fig9.FIGURE.methods.values():
            for (prompt, seed), at in REACHED.get(method, REACHED[SDS]).items():
                numbers = COHERENT if (method, prompt, seed) != (GSD, "an owl", 2) else {**COHERENT, "janus": True}
                make(place / "multirun" / "fig9", method, prompt, seed, numbers, history(at, drop))
        return place / "outputs" / "fig9"

    return write


def result_in(out):
    return json.loads((out / "result.json").read_text())


def test_calls_to_a_quality_count_the_runs_that_never_reach_it(made, call):
    out = made()
    call(fig9.main, *ASKED, "--threshold", "25", "--threshold", "27")
    result = result_in(out)
    rows = {(row["threshold"], row["method"]): [*row.values()][2:] for row in result["table"]}
    assert len(rows) == 8
    runs, reached, median, mean, difference, p = rows["25", "SDS"]
    assert (runs, reached.split()[0], median, difference, p) == (6, "83", "400", "", "")
    assert mean.split()[0] == "317"  # 200, 300, 400 and, for the one that never does, the whole 400
    assert re.search(rf"\| 25 +\| SDS +\| 6 +\| {re.escape(reached)} +\| 400 ", (out / "table.md").read_text())
    runs, reached, median, mean, difference, p = rows["25", "GSD"]
    assert (reached.split()[0], median, mean.split()[0]) == ("83", "200", "217")
    low, high = (-100 + sign * T * 50 for sign in (-1, 1))  # -150, 0 and -150 by seed
    assert (difference, p) == (f"-100 [{low:+.0f}, {high:+.0f}]", "1")
    assert rows["27", "GSD"][1].startswith("0 [0,")
    assert rows["27", "GSD"][2:5] == ["> 400", "400 [400, 400]", "+0 [+0, +0]"]
    assert result["calls_to"]["25.0"]["GSD"] == [[100, 300, 100], [200, None, 200]]


def test_calls_to_what_the_worse_of_a_coherent_pair_ends_with(made, call):
    """Owl: 100 and 300 calls against 200 and 300, and a pair that is not coherent; corgi: the pair that never rises is
    where it ends from the first call."""
    out = made()
    call(fig9.main, *ASKED)
    same, _, gsd = result_in(out)["to_the_worse_end"]
    assert same == {"method": "3D noise alone", "pairs": 6, "calls - baseline": "+0", "p": "1"}
    owl, corgi = (-100 + 0) / 2, (-200 + 0 - 200) / 3
    found = paired([owl, corgi], PROMPTS).mean
    assert gsd == {"method": "GSD", "pairs": 5, "calls - baseline": format(found, "+.0f"), "p": "1"}
    assert found.value == pytest.approx(-275 / 3)
    assert "what the worse run of a coherent pair ends with" in (out / "table.md").read_text()


def test_curves_are_means_over_prompts_then_seeds(made, call):
    out = made()
    call(fig9.main, *ASKED)
    result = result_in(out)
    assert result["prior_calls"] == list(CALLS)
    assert result["curves"]["psnr_aligned"]["SDS"]["value"] == [20, 20, 22, 23, 25]
    assert result["gain"]["GSD"]["value"] == pytest.approx([0, 2, 2, 2, 0])
    half = T * np.std([26, 20, 26], ddof=1) / 3**0.5
    band = result["curves"]["psnr_aligned"]["GSD"]
    assert (band["value"][2], band["high"][2] - band["value"][2]) == pytest.approx((24, half), rel=1e-3)
    assert result["curves"]["gradient_cosine"]["loss alone"]["value"] == [None, 0.5, 0.5, 0.5, 0.5]
    with Image.open(out / "figure.png") as picture:
        assert min(picture.size) > 500
    assert (out / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_the_gradient_cosine_is_smoothed_over_calls_not_over_runs():
    rows = np.array([[np.nan, 1.0, 3.0, 5.0], [np.nan, 0.0, 0.0, np.nan]])
    out = convergence.smoothed(rows, np.array([0.0, 100, 200, 300]), 200)
    np.testing.assert_allclose(out, [[np.nan, 1, 2, 4], [np.nan, 0, 0, 0]])


def test_what_the_runs_lack_is_left_out(made, call):
    """As with Stable Diffusion on a subject that the menagerie has not."""
    out = made(drop=("psnr_aligned", "view_error_deg", "face_fraction"))
    call(fig9.main, *ASKED)
    assert list(result_in(out)["curves"]) == ["gradient_cosine"]
    assert "no prompt on which all runs have measured psnr_aligned" in (out / "table.md").read_text()
    assert (out / "figure.png").exists()


def test_a_quality_where_less_is_better(made, call):
    out = made()
    call(fig9.main, *ASKED, "--quality", "view_error_deg", "--threshold", "45")
    assert {(row["reached %"].split()[0], row["median calls"]) for row in result_in(out)["table"]} == {("100", "300")}


def test_a_set_up_has_its_own_seeds(monkeypatch, call):
    launched = []
    monkeypatch.setattr(
        gallery.sweeps, "launch", lambda name, overrides, seeds, jobs: launched.append((name, [*seeds]))
    )
    with pytest.raises(SystemExit):  # there is nothing to read
        call(fig9.main, "--run", "--setup", "claims")
    assert launched == [("fig9_claims", [10])] * 4
    with pytest.raises(SystemExit):
        call(fig9.main, "--run", "--setup", "cure", "--seeds", "2")
    assert launched[4:] == [("fig9_cure", [0, 1])] * 4


def test_seeds_that_a_method_lacks_are_left_out_for_all(made, call, capsys, place):
    out = made()
    make(place / "multirun" / "fig9", SDS, "an owl", 7, evaluations=history(100))
    call(fig9.main, *ASKED)
    assert "Seeds that not all methods and prompts have are left out: 7." in capsys.readouterr().err
    assert result_in(out)["seeds"] == [0, 1, 2]


def test_two_runs_of_one_kind_are_told_apart_by_what_is_typed(made, call, place):
    made()
    make(place / "multirun" / "fig9", f"{SDS} steps=7", "an owl", 0, evaluations=history(100))
    with pytest.raises(SystemExit, match=r"are both SDS for 'an owl' with seed 0; add the settings"):
        call(fig9.main, *ASKED)
    runs = find_runs(["multirun/fig9"])
    only = gallery.Gallery(name="one", title="", methods={"SDS": SDS})
    assert len(gallery.select(runs, only, ["an owl"], ["steps=7"])["SDS", "an owl"]) == 1
    with pytest.raises(GsdError, match="no run of SDS"):
        gallery.select(runs, only, ["an owl"], ["steps=8"])


def test_runs_that_measured_nothing_on_their_way_are_named(place, call):
    for method in fig9.FIGURE.methods.values():
        make(place / "multirun" / "fig9", method, "an owl", 0)
    with pytest.raises(SystemExit, match=r"measured nothing .*; delete it and repeat with evaluate_every=25"):
        call(fig9.main, "--prompt", "an owl")


@pytest.mark.slow
def test_from_nothing(place, call):
    """Real runs of 40 steps: every method begins at the same picture and is better at the end."""
    small = ("steps=40", "evaluate_every=10", "checkpoint_every=1000", "init.points=1000", "turntable.views=8")
    call(fig9.main, "--run", "--prompt", "an owl", "--seeds", "2", "--threshold", "12", *small)
    result = result_in(place / "outputs" / "fig9")
    assert result["prior_calls"] == [0, 20, 40, 60, 80]
    assert list(result["curves"]) == list(fig9.QUANTITIES)
    starts = [result["curves"]["psnr_aligned"][m]["value"][0] for m in fig9.FIGURE.methods]
    assert starts == pytest.approx(starts[:1] * 4)
    for method in fig9.FIGURE.methods:
        psnr = result["curves"]["psnr_aligned"][method]["value"]
        assert psnr[-1] > psnr[0] + 5
        assert all(calls is not None for calls in result["calls_to"]["12.0"][method][0])
    call(fig9.main, "--run", "--prompt", "an owl", "--seeds", "2", *small)  # nothing is missing
    assert len(find_runs(["multirun/fig9"])) == 8


@pytest.mark.slow
def test_a_network_as_prior_and_a_subject_without_truth(place, call):
    """The code path of Stable Diffusion, with the small model of its kind."""
    small = ("prior=tiny", "metric=none", "steps=4", "evaluate_every=2", "init.points=500", "turntable.views=8")
    call(fig9.main, "--run", "--prompt", "a wombat, asleep", "--seeds", "1", *small)
    result = result_in(place / "outputs" / "fig9")
    assert list(result["curves"]) == ["gradient_cosine"]
    assert result["table"] == []
    assert (place / "outputs" / "fig9" / "figure.png").exists()
