"""The benchmarks of noisings and of whole steps, on next to nothing."""

import json

import bench
import noising
import pytest
import step as benchmark
import torch
from launch import SMALL, config
from pipelines import random_pipeline

from gsd.experiment import build
from gsd.loop import take_step
from gsd.tools.gpu_check.turns import usual_step

TINY_SCENE = [o for o in SMALL if o.startswith(("init", "camera", "threads"))]


def test_tables_of_the_noisings():
    jobs = {name: noising.job(noising.configured([f"noising={name}"]), 50, 16, "cpu") for name in ("random", "nearest")}
    times = bench.take_turns(jobs, 0.0)
    assert all(len(each) == 3 and min(each) > 0 for each in times.values())
    cases = {str(n): {"job": {"median": 0.5 * n**2, "min": 0.0}} for n in (10, 100, 1000)}
    assert abs(noising.growth(cases, "job") - 2) < 1e-9
    memory = {"points, N = 9": {"1000": 1.0, "2000": 18_000 * 10 / 2**20}}
    row = noising.table({"memory": memory}).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["points, N = 9", "1.0", "0.2", "10"]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(benchmark, "WARM_UP", 1)


def test_methods_are_compared_with_sds(call, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "memory_apart", lambda name, scale, overrides: 7.0)
    arguments = ("--scale", "menagerie", "--steps", 2, "--only", "gsd", "usual sds", "--out", tmp_path)
    call(benchmark.main, *arguments, *TINY_SCENE)
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert list(rows) == ["sds", "gsd"]  # the exact prior has no network to be asked the usual way
    assert rows["sds"]["wall_ratio"] == 1
    assert rows["gsd"]["wall_ms"] > 0
    assert rows["gsd"]["prior_calls"] == 2
    cells = [cell.strip() for cell in (tmp_path / "table.md").read_text().splitlines()[-1].split("|")]
    assert (cells[1], cells[2], cells[-2]) == ("gsd", "2.0", "7")


@pytest.mark.slow
def test_memory_grows_with_the_scene():
    small, large = (
        benchmark.memory_apart("sds", "menagerie", [*TINY_SCENE, o]) for o in ("sigma=vp", "init.points=400000")
    )
    assert large - small > 400_000 * 14 * 4 * 3 / 2**20  # parameters, gradients and a moment of Adam


def test_methods_share_one_prior(monkeypatch):
    built = []
    monkeypatch.setattr(benchmark, "build", lambda *given: built.append(build(*given)) or built[-1])
    benchmark.steppers(["sds", "gsd", "guidance vsd", "usual sds"], "tiny", TINY_SCENE)
    sds, gsd, vsd, usual = (experiment.prior for experiment in built)
    assert sds is gsd is usual
    assert vsd is not sds
    assert not any("lora" in name for name, _ in sds.network.named_parameters())


def test_the_usual_step_asks_twice_and_decodes(tmp_path, monkeypatch):
    """It moves the scene as ours does when the encoder has no spread and the noise is the same."""
    random_pipeline(tmp_path / "model")
    options = (f"prior.model={tmp_path / 'model'}", "prior=stable_diffusion", "noising=random", "loss=none")
    experiment, ours = (build(config(*SMALL, *options, "guidance.guidance_scale=7.5")) for _ in range(2))
    asked, decoded = [], []
    denoise, decode = experiment.prior.denoise, experiment.prior.decode
    monkeypatch.setattr(experiment.prior, "denoise", lambda x, *rest: asked.append(len(x)) or denoise(x, *rest))
    monkeypatch.setattr(experiment.prior, "decode", lambda z: decoded.append(len(z)) or decode(z))
    with torch.no_grad():
        experiment.prior.autoencoder.vae.quant_conv.bias[4:] = -60.0  # log-variance of the posterior
        experiment.prior.autoencoder.vae.quant_conv.weight[4:] = 0.0
    assert usual_step(experiment, 0, 7.5) == 4
    assert asked == [2, 2]
    assert decoded == [2]
    take_step(ours, 0)
    for name, p in ours.representation.params.items():
        assert torch.allclose(p, experiment.representation.params[name], atol=2e-3), name
