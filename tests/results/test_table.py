"""Run folders become rows: which settings differ, what each run came to, and what is wrong with it."""

import json
import signal

import pytest
from launch import LIGHT, crash, launch
from made_runs import CONSISTENT, LOSS, make, record

from gsd.errors import GsdError
from gsd.results.table import read


def test_only_settings_in_which_runs_differ_are_shown(tmp_path):
    make(tmp_path / "a", {"seed": 1, "device": "cpu"})
    make(tmp_path / "b", {"seed": 0, "noising": CONSISTENT, "loss": LOSS, "threads": 2})
    table = read([tmp_path])
    # The kernel and the weight follow from the choice; devices, threads and the rest cannot change a result
    assert table.settings == ["loss", "noising", "seed"]
    assert [row.settings for row in table.rows] == [
        {"loss": "consistency", "noising": "consistent", "seed": 0},
        {"loss": "none", "noising": "random", "seed": 1},
    ]


def test_an_option_is_shown_where_it_differs_for_the_same_choice(tmp_path):
    make(tmp_path / "a", {"noising": CONSISTENT | {"kernel": "tent"}, "loss": LOSS})
    make(tmp_path / "b", {"noising": CONSISTENT, "loss": {"consistency": {**LOSS["consistency"], "weight": 0.1}}})
    make(tmp_path / "c")
    table = read([tmp_path])
    assert table.settings == ["loss", "noising", "loss.consistency.weight", "noising.kernel"]
    assert {row.name: row.settings.get("noising.kernel") for row in table.rows} == {"a": "tent", "b": "box", "c": None}


def test_what_follows_from_what_was_typed_is_not_shown(tmp_path):
    def sweep(where, typed):
        for k, steps in enumerate((10, 20, 20)):
            camera = {"_target_": "gsd.camera.orbit.Orbit", "views": 2, "until": steps // 2, "fov": 40 + k}
            make(tmp_path / where / f"{k}", {"steps": steps, "camera": camera, "seed": k}, {"overrides": typed})
        return read([tmp_path / where]).settings

    assert sweep("typed", ["steps=1"]) == [
        "camera.fov",
        "steps",
        "seed",
    ]  # until is half the steps; the fov is not fixed
    assert sweep("both", ["steps=1", "camera.until=1"]) == ["camera.fov", "camera.until", "steps", "seed"]
    assert sweep("section", ["camera={}"]) == ["camera.fov", "camera.until", "seed"]
    assert sweep("untyped", []) == [
        "camera.fov",
        "camera.until",
        "steps",
        "seed",
    ]  # the seed fixes all and explains none


def test_the_order_is_that_of_the_settings_with_numbers_as_numbers(tmp_path):
    for seed in (10, 9, 2):
        make(tmp_path / f"{seed}", {"seed": seed})
    assert [row.settings["seed"] for row in read([tmp_path]).rows] == [2, 9, 10]


def test_metrics_cost_and_curves_over_the_turn(tmp_path):
    measured = {"psnr": 21.5, "janus": 1, "sure": True, "clip": [0.1, 0.2, 0.3], "words": "x", "broken": float("nan")}
    make(tmp_path / "a", metrics=measured | {"particles": [{"psnr": 1.0}]})
    (row,) = read([tmp_path]).rows
    assert row.metrics == {"psnr": 21.5, "janus": 1.0, "sure": 1.0}
    assert row.turns == {"clip": [0.1, 0.2, 0.3]}
    assert row.cost == {"seconds": 2.5, "prior_calls": 20.0, "peak_memory_mb": 100.0}
    assert row.provenance == {"commit": "abc", "versions.gsd": "0.1.0"}
    assert row.name == "a"


def test_runs_that_are_not_done_say_why(tmp_path):
    make(tmp_path / "failed", {"seed": 1}, status="FAILED")
    (tmp_path / "failed" / "FAILED").write_text("Traceback:\n  ...\nValueError: wrong\n")
    make(tmp_path / "begun", {"seed": 2}, records=[record(0), record(1), record(2)], status="")
    with (tmp_path / "begun" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "pri')  # cut off as it was written
    make(tmp_path / "fresh", {"seed": 3}, status="")
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "FAILED").write_text("The prompt is empty.\n")
    rows = {row.name: row for row in read([tmp_path]).rows}
    assert {name: row.status for name, row in rows.items()} == {
        "failed": "failed", "begun": "unfinished", "fresh": "unfinished", "refused": "failed"
    }  # fmt: skip
    assert rows["failed"].reason == "Traceback:\n  ...\nValueError: wrong"
    assert rows["begun"].reason == "at step 3 of 10"
    assert rows["fresh"].reason == "no step is recorded yet"
    assert rows["refused"].reason == "The prompt is empty."
    assert rows["refused"].settings == {}


def test_options_have_the_names_that_were_chosen_from_the_start_of_a_run(tmp_path, monkeypatch):
    crash(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit):
        launch(tmp_path / "run", *LIGHT, "steps=6")
    (row,) = read([tmp_path]).rows
    assert (row.status, row.reason) == ("unfinished", "at step 3 of 6")
    chosen = {"prompting": "interpolated", "loss": "consistency", "metric": "truth", "densify": "none", "sigma": "vp"}
    assert {group: row.config[group] for group in chosen} == chosen
    assert row.config["experiment"] == "null"


def without_choices(folder, config):
    """As an unfinished run was left before there was choices.yaml."""
    (make(folder, config, status="") / "choices.yaml").unlink()


def test_folders_without_choices_yaml_go_by_their_summary_then_by_what_was_typed_then_by_classes(tmp_path):
    network = {"_target_": "gsd.prior.stable_diffusion.StableDiffusion", "model": "small"}
    for name, status in (("a", "DONE"), ("b", ""), ("c", "")):
        make(tmp_path / name, {"prior": network}, options={"prior": "tiny"}, status=status)
        (tmp_path / name / "choices.yaml").unlink()
    (tmp_path / "b" / "overrides.yaml").write_text("- prior=typed\n- seed=1\n")
    chosen = make(tmp_path / "d", {"prior": network}, options={"prior": "sd", "loss": ["tv", "opaque"], "scale": None})
    rows = {row.name: row.config for row in read([tmp_path]).rows}
    assert {name: config["prior"] for name, config in rows.items()} == {
        "a": "tiny", "b": "typed", "c": "StableDiffusion", "d": "sd"
    }  # fmt: skip
    assert rows["d"]["loss"] == "tv+opaque"
    assert "scale" not in rows["d"]
    (chosen / "choices.yaml").write_text("prior: [")
    assert "choices.yaml cannot be read" in read([tmp_path]).left_out[0]


def test_damaged_folders_are_named_and_left_out(tmp_path):
    make(tmp_path / "good")
    (make(tmp_path / "summary") / "summary.json").write_text('{"seed"')
    (make(tmp_path / "config") / "config.yaml").write_text("a: [")
    (make(tmp_path / "absent") / "config.yaml").unlink()
    table = read([tmp_path])
    assert [row.name for row in table.rows] == ["good"]
    assert len(table.left_out) == 3
    for name in ("summary", "config", "absent"):
        assert any(f"/{name}" in sentence for sentence in table.left_out)


def test_what_is_no_term_makes_no_loss(tmp_path):
    """Numbers that a preset has for a term that was not chosen, and numbers in the place of a term."""
    term = {"_target_": "gsd.loss.consistency.Consistency"}
    without_choices(tmp_path / "a", {"loss": {"consistency": term, "other": 3, "nothing": None}})
    without_choices(tmp_path / "b", {"loss": {"other": 3, "consistency": {"input": "score"}}})
    assert {row.name: row.config["loss"] for row in read([tmp_path]).rows} == {"a": "consistency", "b": "none"}


def test_several_folders_and_a_single_run(tmp_path, monkeypatch):
    make(tmp_path / "x" / "1", {"seed": 1})
    make(tmp_path / "y" / "1", {"seed": 2})
    assert [row.name for row in read([tmp_path / "x", tmp_path / "y"]).rows] == ["x/1", "y/1"]
    monkeypatch.chdir(tmp_path / "x" / "1")
    assert [row.name for row in read(["."]).rows] == ["1"]
    assert len(read([".", tmp_path / "y"]).rows) == 2  # one path relative, the other not
    (tmp_path / "empty").mkdir()
    with pytest.raises(GsdError, match="holds no run"):
        read([tmp_path / "empty"])


def test_values_that_json_does_not_know_are_words(tmp_path):
    folder = make(tmp_path / "a")
    (folder / "config.yaml").write_text("prompt: 2024-01-01\nseed: .nan\nsteps: null\nloss: {}\nlist: [1, two]\n")
    (row,) = read([tmp_path]).rows
    assert json.loads(json.dumps(row.config, allow_nan=False)) == row.config
    assert row.config["list"] == '[1, "two"]'
