"""The benchmark of whole steps, on next to nothing."""

import json
import sys

import pytest
import torch
from launch import SMALL
from pipelines import random_pipeline
from quick_config import quick

from gsd.experiment import build

TINY_SCENE = [o for o in SMALL if o.startswith(("init", "camera", "threads"))]


@pytest.fixture
def benchmark(monkeypatch):
    import step

    monkeypatch.setattr(step, "WARM_UP", 1)
    return step


def test_methods_are_compared_with_sds(benchmark, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "memory_apart", lambda name, scale, overrides: 7.0)
    command = ["step", "--scale", "menagerie", "--steps", "2", "--only", "gsd", "usual sds", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*command, *TINY_SCENE])
    benchmark.main()
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert list(rows) == ["sds", "gsd"]  # the exact prior has no network to be asked the usual way
    assert rows["sds"]["wall_ratio"] == 1
    assert rows["gsd"]["wall_ms"] > 0
    assert rows["gsd"]["prior_calls"] == 2
    assert "| gsd | 2.0 |" in capsys.readouterr().out


@pytest.mark.slow
def test_memory_grows_with_the_scene(benchmark):
    small, large = (
        benchmark.memory_apart("sds", "menagerie", [*TINY_SCENE, o]) for o in ("sigma=vp", "init.points=400000")
    )
    assert large - small > 400_000 * 14 * 4 * 3 / 2**20  # parameters, gradients and a moment of Adam


def test_the_usual_step_asks_twice_and_decodes(benchmark, tmp_path, monkeypatch):
    """It moves the scene as ours does when the encoder has no spread and the noise is the same."""
    random_pipeline(tmp_path / "model")
    options = (f"prior.model={tmp_path / 'model'}", "prior=stable_diffusion", "noising=random", "loss=none")
    experiment, ours = (build(quick(*SMALL, *options, "guidance.guidance_scale=7.5")) for _ in range(2))
    asked, decoded = [], []
    denoise, decode = experiment.prior.denoise, experiment.prior.decode
    monkeypatch.setattr(experiment.prior, "denoise", lambda x, *rest: asked.append(len(x)) or denoise(x, *rest))
    monkeypatch.setattr(experiment.prior, "decode", lambda z: decoded.append(len(z)) or decode(z))
    with torch.no_grad():
        experiment.prior.vae.quant_conv.bias[4:] = -60.0  # log-variance of the posterior
        experiment.prior.vae.quant_conv.weight[4:] = 0.0
    monkeypatch.setattr(
        torch, "randn_like", lambda z: torch.randn(z.shape, generator=ours.stream("noising").generator())
    )
    assert benchmark.usual_step(experiment, 0) == 4
    assert asked == [2, 2]
    assert decoded == [2]
    monkeypatch.undo()
    benchmark.take_step(ours, 0)
    for name, p in ours.representation.params.items():
        assert torch.allclose(p, experiment.representation.params[name], atol=2e-3), name
