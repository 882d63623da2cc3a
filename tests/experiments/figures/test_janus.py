"""The benchmark's numbers on outcomes made by hand, and its reading of real run folders."""

from dataclasses import replace
from pathlib import Path

import janus
import pytest
from launch import ROOT, SMALL, launch

from gsd.errors import GsdError
from gsd.results.runs import Run
from gsd.statistics import resampling

SDS, _, _, GSD = janus.CELLS.values()
PUBLISHED = ROOT / "docs" / "results" / "janus.csv"


def made(method, subject, bias=4, seed=0, janus_=0.0, coherent=1.0, psnr=25.0):
    return janus.Outcome(method, subject, bias, seed, janus_, coherent, psnr, 5.0, 1200)


def test_an_effect_is_the_mean_over_pairs_and_unpaired_runs_do_not_count():
    one, two, *_ = janus.SUBJECTS
    gsd = [made(GSD, one, seed=s, psnr=26 + s) for s in range(3)] + [made(GSD, two, psnr=31.0), made(GSD, two, seed=9)]
    sds = [made(SDS, one, seed=s) for s in range(3)] + [made(SDS, two, psnr=25.0)]
    found = janus.effect(gsd, sds, "psnr")
    assert (found.mean.value, found.pairs) == (pytest.approx((1 + 2 + 3 + 6) / 4), 4)
    assert (found.mean.low, found.mean.high) == pytest.approx((2.0, 6.0))  # of two animals, the one or the other alone
    assert found.p == pytest.approx(2 / 16)
    assert janus.effect(gsd, [], "psnr") is None


def test_the_bias_at_which_half_the_runs_break_is_read_off_straight_lines():
    broken = {2: 0, 4: 1, 8: 3}  # of four seeds, on every animal
    outcomes = [
        made(SDS, subject, bias, seed, coherent=float(seed >= count))
        for subject in janus.SUBJECTS
        for bias, count in broken.items()
        for seed in range(4)
    ]
    estimate = janus.breaking_bias(outcomes)
    assert estimate.value == estimate.low == estimate.high == pytest.approx(6)  # between 25 % at 4 and 75 % at 8
    never = [made(SDS, subject, bias) for subject in janus.SUBJECTS for bias in janus.BIASES]
    assert janus.bias_text(janus.breaking_bias(never)) == "> 8 [> 8, > 8]"


def test_a_real_run_is_an_outcome(tmp_path):
    typed = ("prompt=an owl", "prior.view_bias=4", "seed=3", *GSD.split())
    folder = launch(tmp_path / "run", *SMALL, "steps=3", *typed)
    found = janus.outcome(Run(folder), [item for item in SMALL if item.startswith(("init", "camera"))] + ["steps=3"])
    assert (found.method, found.pair, found.prior_calls) == (GSD, ("an owl", 4, 3), 6)
    assert (found.coherent, found.janus, found.empty) == (0, 0, 1)  # a grey ball is neither
    assert Run(folder).typed["steps"] == "3"


def test_what_shows_nothing_is_neither_coherent_nor_janus(tmp_path):
    right = {"face_count": 1.0, "front_count": 1.0, "janus": 0.0, "view_error_deg": 5.0, "empty": 0.0}
    assert [janus.coherent(right | {"empty": empty}) for empty in (0.0, 1.0)] == [1, 0]
    runs = [replace(made(SDS, janus.SUBJECTS[k], coherent=0.0), empty=float(k < 2)) for k in range(4)]
    assert janus.rates(runs)["empty %"].startswith("50 [")
    assert janus.rates([made(SDS, janus.SUBJECTS[0])])["empty %"] == "not measured"
    janus.write(tmp_path / "runs.csv", runs)
    assert janus.read(tmp_path / "runs.csv") == runs


def test_the_published_tables_come_from_the_published_runs(monkeypatch):
    monkeypatch.setattr(resampling, "FLIPS", 100)  # no p is compared
    outcomes = janus.read(PUBLISHED)
    assert len({(o.method, o.pair) for o in outcomes}) == len(outcomes)
    grid = [o for o in outcomes if o.method in janus.CELLS.values()]
    assert {o.prior_calls for o in grid} == {1200}  # equal prior calls, or nothing is compared
    text, sections = janus.report(grid)
    page = (ROOT / "docs" / "results.md").read_text()
    for row in sections["The four cells"]:
        assert row["Janus %"] in page
        assert row["coherent %"] in page
    for row in sections["The bias at which half the runs break"]:
        assert row["view_bias"] in page
    assert "GSD - SDS" in text


def test_a_missing_csv_is_named():
    with pytest.raises(GsdError, match=r"nowhere.csv does not exist"):
        janus.read(Path("nowhere.csv"))
