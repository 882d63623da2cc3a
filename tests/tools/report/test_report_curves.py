"""Curves are thinned by means over equal spans of steps, and a group's band is the mean and interval of each span."""

import json

import numpy as np
import pytest
from made_runs import record

from gsd.errors import GsdError
from gsd.statistics import estimates as statistics
from gsd.tools.report.curves import BINS, LINES, bands, read, span, thinned, turns


def write(folder, records, name="metrics.jsonl"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def test_a_long_run_is_thinned_to_means(tmp_path):
    (curves,) = read(write(tmp_path, [record(s, loss=float(s)) for s in range(1000)]))
    assert span([curves]) == 10
    thin = thinned(curves, 10)
    assert len(thin.places) == BINS
    np.testing.assert_allclose(thin.values["loss"], np.arange(1000).reshape(100, 10).mean(1))
    np.testing.assert_allclose(thin.axes["prior_calls"], 2 * thin.axes["step"])


def test_of_a_very_long_run_not_every_line_is_read(tmp_path):
    (curves,) = read(write(tmp_path, [record(s) for s in range(20 * LINES)]))
    assert LINES <= len(curves.axes["step"]) < 2 * LINES
    assert len(thinned(curves, span([curves])).places) == BINS


def test_what_is_missing_or_not_a_number_is_left_out_of_the_mean(tmp_path):
    lines = [record(0, a=1.0), record(1, a=None, b=5.0), record(2, a=3.0, b="word"), record(3, a=float("inf"))]
    (curves,) = read(write(tmp_path, lines))
    thin = thinned(curves, 2)
    np.testing.assert_array_equal(thin.values["a"], [1.0, 3.0])
    assert "b" not in thin.values


def test_evaluations_are_curves_of_their_own(tmp_path):
    write(tmp_path, [record(s, loss=1.0) for s in range(100)])
    write(tmp_path, [record(s, psnr=20.0 + s) for s in (0, 50, 99)], "evaluations.jsonl")
    metrics, evaluations = read(tmp_path)
    assert list(metrics.values) == ["loss"]
    thin = thinned(evaluations, span([metrics, evaluations]))
    np.testing.assert_array_equal(thin.axes["step"], [0, 50, 99])
    np.testing.assert_array_equal(thin.values["evaluation/psnr"], [20, 70, 119])


def test_a_list_at_each_step_is_no_curve(tmp_path):
    """As metric=clip_view leaves in evaluations.jsonl: a number for each view of the turntable."""
    lines = [record(s, psnr=20.0, clip_front=[0.1, 0.2, 0.3]) for s in (0, 50)]
    (evaluations,) = read(write(tmp_path, lines, "evaluations.jsonl"))
    assert list(thinned(evaluations, 1).values) == ["evaluation/psnr"]


def test_a_line_cut_off_is_left_out_and_damage_is_told(tmp_path):
    with (write(tmp_path, [record(0), record(1)]) / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2')
    assert list(read(tmp_path)[0].axes["step"]) == [0, 1]
    for text in ("nonsense\n", "[1]\n", '{"loss": 1}\n'):
        (tmp_path / "metrics.jsonl").write_text(text)
        with pytest.raises(GsdError, match=r"metrics\.jsonl is damaged"):
            read(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    assert read(tmp_path) == []


def test_bands_are_means_with_intervals(tmp_path):
    values = [[1.0, 4.0, 2.0], [2.0, 6.0], [6.0, 5.0, 5.0], [3.0, 3.0]]  # two runs stopped early
    runs = [
        thinned(*read(write(tmp_path / f"{k}", [record(s, loss=v) for s, v in enumerate(each)])), 1)
        for k, each in enumerate(values)
    ]
    band = bands(runs, ["a cat"] * 4)["loss"]
    for step in range(2):
        want = statistics.mean([each[step] for each in values])
        got = (band.value[step], band.low[step], band.high[step])
        assert got == pytest.approx((want.value, want.low, want.high))
    assert band.value[2] == 3.5
    assert np.isnan([band.low[2], band.high[2]]).all()  # of two runs
    np.testing.assert_allclose(band.axes["seconds"], [0.0, 0.1, 0.2])
    assert np.isnan(bands(runs[:1], ["a cat"])["loss"].low).all()


def test_no_band_leaves_the_values_that_are_possible(tmp_path):
    shares = [0.0, 0.1, 1.0]
    runs = [
        thinned(*read(write(tmp_path / f"{k}", [record(0, face_fraction=v, own=v)], "evaluations.jsonl")), 1)
        for k, v in enumerate(shares)
    ]
    found = bands(runs, ["a cat"] * 3)
    share, own = found["evaluation/face_fraction"], found["evaluation/own"]
    assert (share.low[0], share.high[0]) == (0, 1)
    assert own.low[0] < 0  # of a quantity of which nothing is known
    assert own.high[0] > 1


def test_a_metric_over_the_turn():
    band = turns([[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 1.0, 0.0]], ["a cat", "a cat"])
    np.testing.assert_array_equal(band.axes["azimuth"], [0, 90, 180, 270])
    np.testing.assert_array_equal(band.value, [2, 2, 2, 2])


def test_bands_of_several_prompts_are_over_prompts(tmp_path):
    """Three prompts with two runs each, which are alike: what is known is what three numbers tell."""
    values = [1.0, 1.2, 3.0, 3.4, 2.0, 2.0]
    runs = [thinned(*read(write(tmp_path / f"{k}", [record(0, loss=v)])), 1) for k, v in enumerate(values)]
    prompts = [prompt for prompt in ("a cat", "an owl", "a corgi") for _ in range(2)]
    band, want = bands(runs, prompts)["loss"], statistics.mean([1.1, 3.2, 2.0])
    assert (band.value[0], band.low[0], band.high[0]) == pytest.approx((want.value, want.low, want.high))
