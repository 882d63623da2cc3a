"""Fig. 9 on runs of which all is known, and from nothing."""

import json

import fig9_convergence as fig9
import gallery
import numpy as np
import pytest
from launch import ROOT
from made_figure_runs import make
from PIL import Image

from gsd.errors import GsdError
from gsd.results.runs import find_runs

SDS, _, _, GSD = fig9.FIGURE.methods.values()
PROMPTS = ("an owl", "a corgi")
ASKED = ("--prompt", "an owl", "--prompt", "a corgi")
CALLS = (0, 100, 200, 300, 400)
REACHED = {  # prior calls at which 25 dB are reached, by prompt and seed; None: never
    SDS: {("an owl", 0): 200, ("an owl", 1): 300, ("a corgi", 0): 400, ("a corgi", 1): None},
    GSD: {("an owl", 0): 100, ("an owl", 1): 300, ("a corgi", 0): 200, ("a corgi", 1): None},
}


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
def made(tmp_path, monkeypatch):
    """multirun/fig9 with two methods, two prompts and two seeds; the other two methods are as SDS."""
    monkeypatch.chdir(tmp_path)

    def write(drop=()):
        for method in fig9.FIGURE.methods.values():
            for (prompt, seed), at in REACHED.get(method, REACHED[SDS]).items():
                make(tmp_path / "multirun" / "fig9", method, prompt, seed, evaluations=history(at, drop))
        return tmp_path / "outputs" / "fig9"

    return write


def cells(table):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_calls_to_a_quality_count_the_runs_that_never_reach_it(made, call):
    out = made()
    call(fig9, *ASKED, "--threshold", "25", "--threshold", "27")
    rows = {(row[0], row[1]): row[2:] for row in cells((out / "table.md").read_text())}
    assert len(rows) == 8
    runs, reached, median, mean, difference, p = rows["25", "SDS"]
    assert (runs, reached.split()[0], median, difference, p) == ("4", "75", "400", "", "")
    assert mean.split()[0] == "325"  # 200, 300, 400 and, for the one that never does, the whole 400
    runs, reached, median, mean, difference, p = rows["25", "GSD"]
    assert (reached.split()[0], median, mean.split()[0]) == ("75", "300", "250")
    low, high = (-75 + sign * 12.706 * 75 for sign in (-1, 1))  # -150 and 0 by seed; Student's t of one degree
    assert difference == f"-75 [{low:+.0f}, {high:+.0f}]"
    assert rows["27", "GSD"][1].startswith("0 [0,")
    assert rows["27", "GSD"][2:5] == ["> 400", "400 [400, 400]", "+0 [+0, +0]"]
    result = json.loads((out / "result.json").read_text())
    assert result["calls_to"]["25.0"]["GSD"] == [[100, 300], [200, None]]


def test_curves_are_means_over_prompts_then_seeds(made, call):
    out = made()
    call(fig9, *ASKED)
    result = json.loads((out / "result.json").read_text())
    assert result["prior_calls"] == list(CALLS)
    assert result["curves"]["psnr_aligned"]["SDS"]["value"] == [20, 20, 21.5, 23, 24.5]
    assert result["gain"]["GSD"]["value"] == pytest.approx([0, 1.5, 1.5, 1.5, 0])
    half = 12.706 * np.std([26, 20], ddof=1) / 2**0.5
    band = result["curves"]["psnr_aligned"]["GSD"]
    assert (band["value"][2], band["high"][2] - band["value"][2]) == pytest.approx((23, half), rel=1e-3)
    assert result["curves"]["gradient_cosine"]["loss alone"]["value"] == [None, 0.5, 0.5, 0.5, 0.5]
    with Image.open(out / "figure.png") as picture:
        assert min(picture.size) > 500
    assert (out / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_the_gradient_cosine_is_smoothed_over_calls_not_over_runs():
    rows = np.array([[np.nan, 1.0, 3.0, 5.0], [np.nan, 0.0, 0.0, np.nan]])
    out = fig9.smoothed(rows, np.array([0.0, 100, 200, 300]), 200)
    np.testing.assert_allclose(out, [[np.nan, 1, 2, 4], [np.nan, 0, 0, 0]])


def test_what_the_runs_lack_is_left_out(made, call):
    """As with Stable Diffusion on a subject that the menagerie has not."""
    out = made(drop=("psnr_aligned", "view_error_deg", "face_fraction"))
    call(fig9, *ASKED)
    assert list(json.loads((out / "result.json").read_text())["curves"]) == ["gradient_cosine"]
    assert "no prompt on which all runs have measured psnr_aligned" in (out / "table.md").read_text()
    assert (out / "figure.png").exists()


def test_a_quality_where_less_is_better(made, call):
    out = made()
    call(fig9, *ASKED, "--quality", "view_error_deg", "--threshold", "45")
    rows = cells((out / "table.md").read_text())
    assert {(row[3].split()[0], row[4]) for row in rows} == {("100", "300")}


def test_seeds_that_a_method_lacks_are_left_out_for_all(made, call, capsys, tmp_path):
    out = made()
    make(tmp_path / "multirun" / "fig9", SDS, "an owl", 7, evaluations=history(100))
    call(fig9, *ASKED)
    assert "Seeds that not all methods and prompts have are left out: 7." in capsys.readouterr().err
    assert json.loads((out / "result.json").read_text())["seeds"] == [0, 1]


def test_two_runs_of_one_kind_are_told_apart_by_what_is_typed(made, call, tmp_path):
    made()
    make(tmp_path / "multirun" / "fig9", f"{SDS} steps=7", "an owl", 0, evaluations=history(100))
    with pytest.raises(SystemExit, match=r"are both SDS for 'an owl' with seed 0; add the settings"):
        call(fig9, *ASKED)
    runs = find_runs(["multirun/fig9"])
    only = gallery.Gallery(name="one", title="", methods={"SDS": SDS})
    assert len(gallery.select(runs, only, ["an owl"], ["steps=7"])["SDS", "an owl"]) == 1
    with pytest.raises(GsdError, match="no run of SDS"):
        gallery.select(runs, only, ["an owl"], ["steps=8"])


def test_runs_that_measured_nothing_on_their_way_are_named(tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for method in fig9.FIGURE.methods.values():
        make(tmp_path / "multirun" / "fig9", method, "an owl", 0)
    with pytest.raises(SystemExit, match=r"measured nothing on its way; delete it and repeat with evaluate_every=25"):
        call(fig9, "--prompt", "an owl")


@pytest.mark.slow
def test_from_nothing(tmp_path, call, monkeypatch):
    """Real runs of 40 steps: every method begins at the same picture and is better at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    small = ("steps=40", "evaluate_every=10", "checkpoint_every=1000", "init.points=1000", "turntable.views=8")
    call(fig9, "--run", "--prompt", "an owl", "--seeds", "2", "--threshold", "12", *small)
    result = json.loads((tmp_path / "outputs" / "fig9" / "result.json").read_text())
    assert result["prior_calls"] == [0, 20, 40, 60, 80]
    assert list(result["curves"]) == list(fig9.QUANTITIES)
    starts = [result["curves"]["psnr_aligned"][m]["value"][0] for m in fig9.FIGURE.methods]
    assert starts == pytest.approx(starts[:1] * 4)
    for method in fig9.FIGURE.methods:
        psnr = result["curves"]["psnr_aligned"][method]["value"]
        assert psnr[-1] > psnr[0] + 5
        assert all(calls is not None for calls in result["calls_to"]["12.0"][method][0])
    call(fig9, "--run", "--prompt", "an owl", "--seeds", "2", *small)  # nothing is missing
    assert len(find_runs(["multirun/fig9"])) == 8


@pytest.mark.slow
def test_a_network_as_prior_and_a_subject_without_truth(tmp_path, call, monkeypatch):
    """The code path of Stable Diffusion, with the small model of its kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    small = ("prior=tiny", "metric=none", "steps=4", "evaluate_every=2", "init.points=500", "turntable.views=8")
    call(fig9, "--run", "--prompt", "a wombat, asleep", "--seeds", "1", *small)
    result = json.loads((tmp_path / "outputs" / "fig9" / "result.json").read_text())
    assert list(result["curves"]) == ["gradient_cosine"]
    assert result["table"] == []
    assert (tmp_path / "outputs" / "fig9" / "figure.png").exists()
