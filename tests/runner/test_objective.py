"""`objective=NAME`: the number that a run returns, and a sweeper of Hydra's that optimises it."""

import runpy
import sys

import pytest
import yaml
from launch import LIGHT, ROOT, config, records

from gsd.errors import GsdError
from gsd.identity import signature
from gsd.results.runs import Run, find_runs
from gsd.runner.run import job

TWO = (*LIGHT, "steps=2")


def result(folder, *overrides):
    return job(config(*TWO, f"hydra.run.dir={folder}", *overrides, hydra=True))


@pytest.mark.parametrize("name", ["psnr_aligned", "prior_calls"])
def test_a_run_returns_the_number_and_so_does_one_that_is_done(tmp_path, capsys, name):
    found = [result(tmp_path / "run", f"objective={name}") for _ in range(2)]
    assert "Already done" in capsys.readouterr().out
    assert found == [Run(tmp_path / "run").summary[name]] * 2
    assert result(tmp_path / "run") is None
    assert signature(config(*TWO)) == signature(config(*TWO, f"objective={name}"))


def test_looking_for_the_name_changes_nothing(tmp_path):
    result(tmp_path / "one", "objective=psnr_aligned")
    result(tmp_path / "other")
    assert records(tmp_path / "one") == records(tmp_path / "other")


def test_an_unknown_name_is_refused_before_the_first_step(tmp_path):
    words = r"objective=psnr is no number of the summary; choose psnr_aligned, .*seconds.*; did you mean psnr_aligned\?"
    with pytest.raises(GsdError, match=words):
        result(tmp_path / "run", "objective=psnr")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    with pytest.raises(GsdError, match="objective=prompt is no number"):
        result(tmp_path / "run", "objective=prompt")
    result(tmp_path / "run")
    with pytest.raises(GsdError, match=words):
        result(tmp_path / "run", "objective=psnr")


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run.py", "-m", "hydra/sweeper=optuna", *TWO, *arguments])
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")


def test_optuna_finds_the_best_of_three_trials(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ("hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "hydra.sweeper.direction=maximize")
    sampler = "hydra.sweeper.sampler.seed=1"
    interval = "guidance.guidance_scale=interval(1,20)"
    command(monkeypatch, *options, sampler, interval, "objective=psnr_aligned")
    runs = find_runs(["multirun/guidance.guidance_scale"])
    best = max(runs, key=lambda run: run.summary["psnr_aligned"])
    assert len(runs) == 3
    assert yaml.safe_load((tmp_path / "multirun/guidance.guidance_scale/optimization_results.yaml").read_text()) == {
        "name": "optuna",
        "best_params": {"guidance.guidance_scale": best.config["guidance"]["guidance_scale"]},
        "best_value": best.summary["psnr_aligned"],
    }
    # The end of a sweep is that of any sweeper
    assert "multirun/guidance.guidance_scale: 3 runs: 3 done." in capsys.readouterr().out
    assert (tmp_path / "multirun/guidance.guidance_scale/summary.md").exists()


def test_optuna_without_an_objective_is_refused_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="hydra/sweeper=optuna needs a number to optimise; add for example objective"):
        command(monkeypatch, "hydra.sweeper.n_trials=1", "seed=range(0,9)")
    assert not list(tmp_path.rglob("metrics.jsonl"))
