"""The protocol's verdicts on outcomes made by hand."""

import claims
import janus
import outcomes
import pytest
import sweeps
from launch import ROOT

from gsd.errors import GsdError
from gsd.statistics.estimates import Estimate
from gsd.statistics.pairs import Difference

ON = {"3D noise": {"correlation": 0.6, "coverage": 1.0}, "loss": {"share": 0.12}, "SDS": {}}
ON["GSD"] = ON["3D noise"] | ON["loss"]


def study(coherent, seeds=(10, 11), **off):
    """Runs of 12 animals of which the first so many of `coherent[cell]` are coherent; `off`: numbers of GSD's runs."""
    return [
        outcomes.Outcome(
            method,
            f"animal {number}",
            setting.bias,
            seed,
            janus=0.0,
            coherent=float(number < coherent[name]),
            psnr=25.0,
            view_error=5.0,
            prior_calls=1200,
            scale=setting.scale,
            **(ON[name] | (off if name == "GSD" else {})),
        )
        for setting in claims.SETTINGS
        for name, method in janus.CELLS.items()
        for seed in seeds
        for number in range(12)
    ]


def test_verdicts_follow_the_protocol():
    """3D noise mends 8 of 12 animals, and the loss none more with it than without."""
    mended = {"SDS": 2, "3D noise": 10, "loss": 2, "GSD": 10}
    rows = claims.verdicts(claims.claims(study(mended, seeds=range(10, 15))))
    assert [row["verdict"] for row in rows] == ["supported", "refuted in size"] * 2
    few = claims.verdicts(claims.claims(study(mended)))
    assert [row["verdict"] for row in few] == [
        "supported",
        "open",
    ] * 2  # 24 pairs of which none differs exclude no 10 %
    assert rows[0]["coherent, points"].startswith("+66.7 [")
    assert float(rows[0]["p"]) == pytest.approx(2 / 2**8, abs=5e-5)  # the eight that differ, all in one direction
    assert float(rows[0]["adjusted p"]) == pytest.approx(4 * 2 / 2**8, abs=5e-4)  # of four tests
    opposite = claims.verdicts(claims.claims(study({"SDS": 10, "3D noise": 2, "loss": 9, "GSD": 3})))
    assert [row["verdict"] for row in opposite] == ["refuted in size", "open"] * 2


def test_a_table_shows_whether_10_points_are_excluded():
    """+9.84 is below 10, and was printed as 10."""
    below, above = (
        claims.Claim(claims.SETTINGS[0], "a", Difference(Estimate(0.01, -0.078, high, 100), 1.0), tested=True)
        for high in (0.0984, 0.1004)
    )
    rows = claims.verdicts([below, above])
    assert [row["coherent, points"] for row in rows] == ["+1.0 [-7.8, +9.8]", "+1.0 [-7.8, +10.0]"]
    assert [row["verdict"] for row in rows] == ["refuted in size", "open"]


def test_the_published_verdicts():
    runs = outcomes.read(ROOT / "docs" / "results" / "claims.csv", [])
    rows = claims.verdicts(claims.claims(claims.whole_seeds(runs, 20)))
    assert [(row["coherent, points"], row["verdict"]) for row in rows] == [
        ("+1.0 [-7.8, +9.8]", "refuted in size"),
        ("-3.0 [-11.7, +5.7]", "refuted in size"),
        ("-9.0 [-17.3, -0.7]", "refuted in size"),
        ("+5.0 [-3.5, +13.5]", "open"),
    ]


@pytest.mark.parametrize("off", [{"correlation": 0.4}, {"coverage": 0.9}, {"share": 0.01}, {"share": 0.3}])
def test_what_was_off_is_not_tested(off):
    """GSD's own runs matter to b alone."""
    runs = study({"SDS": 2, "3D noise": 10, "loss": 3, "GSD": 11}, **off)
    assert [row["verdict"] for row in claims.verdicts(claims.claims(runs))] == ["supported", "not tested"] * 2
    on = {(row["setting"], row["cell"]): row["on"] for row in claims.switched_on(runs)}
    assert {cell for (_, cell), count in on.items() if count == 0} == {"GSD"}


def test_only_whole_seeds_count():
    runs = study(dict.fromkeys(janus.CELLS, 6))
    assert {r.seed for r in claims.whole_seeds(runs, 12)} == {10, 11}
    assert {r.seed for r in claims.whole_seeds(runs[1:], 12)} == {11}
    with pytest.raises(GsdError, match="No seed has all 160 runs"):
        claims.whole_seeds(runs, 20)


def test_the_protocols_settings_are_launched_seed_by_seed(monkeypatch):
    launched = []
    monkeypatch.setattr(sweeps, "launch", lambda name, overrides, seeds, jobs: launched.append((overrides, seeds)))
    monkeypatch.setattr("sys.argv", ["claims", "--animals", "2"])
    monkeypatch.setattr(sweeps, "start", lambda options, main: main(options.parse_args()))
    monkeypatch.setattr(claims, "_main", claims.launch)
    claims.main()
    assert len(launched) == len(claims.SEEDS) * 2 * 4
    asked = [(seeds[0], sweeps.typed(each)["prior.view_bias"], sweeps.typed(each)["steps"]) for each, seeds in launched]
    assert asked[::4] == [(seed, *rest) for seed in claims.SEEDS for rest in (("4", "600"), ("3", "300"))]
