"""Noise levels of a variance-preserving schedule: the prior's own, where it has one."""

import math

import pytest
import torch
from pipelines import random_pipeline
from quick_config import quick

from gsd.camera.orbit import Orbit
from gsd.config import make
from gsd.noise_levels import vp_sigmas
from gsd.prior.menagerie import Menagerie
from gsd.prior.parts.noise_schedule import noise_schedule
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.protocols import Prior, Sigma
from gsd.random import Stream
from gsd.types import Context


def _levels(prior, *overrides):
    """Those drawn for 400 groups at the first of 600 steps."""
    cfg = quick("sigma=vp", *overrides)
    sigma = make(cfg.sigma, "sigma", Context(steps=600), Sigma)
    sigma.attach(prior)
    cams = Orbit(groups=400, views=1, resolution=8)(Stream(0, "camera"))
    return sigma(cams, Stream(0, "sigma", 0))


def _trained_on(folder, **betas):
    """A prior whose scheduler has these settings."""
    pipeline = random_pipeline(folder)
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **betas)
    pipeline.save_pretrained(folder)
    return StableDiffusion(Context("a cat"), model=str(folder)), pipeline.scheduler.alphas_cumprod.double()


def test_a_prior_without_a_schedule_gets_stable_diffusions():
    assert torch.equal(
        _levels(Menagerie(Context("a cat")), "sigma.t_min=0.5", "sigma.t_max=0.5").unique(), vp_sigmas()[500:501]
    )


@pytest.mark.parametrize(
    "betas",
    [
        {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
        {"trained_betas": [0.01] * 400},
    ],
)
def test_levels_are_those_of_the_priors_own_training_steps(tmp_path, betas):
    steps = len(betas.get("trained_betas", range(1000)))
    prior, abar = _trained_on(tmp_path / "model", num_train_timesteps=steps, **betas)
    expected = ((1 - abar) / abar).sqrt().float()
    for part in (0.25, 0.999):
        drawn = _levels(prior, f"sigma.t_min={part}", f"sigma.t_max={part}").unique()
        assert drawn.tolist() == pytest.approx([float(expected[min(round(part * steps), steps - 1)])], rel=1e-5)


def test_stable_diffusions_own_levels_stay_as_they_are(tmp_path):
    """But for diffusers' float32."""
    prior, _ = _trained_on(tmp_path / "model")
    assert torch.allclose(_levels(prior), _levels(Menagerie(Context("a cat"))), rtol=1e-4)


@pytest.mark.parametrize(
    ("scheduler", "shift"),
    [
        ({"shift": 3.0}, 3.0),
        ({"use_dynamic_shifting": True, "max_shift": 1.15}, math.exp(1.15)),
        ({}, 1.0),
    ],
)
def test_a_flow_gets_the_shift_of_its_own_sampler(scheduler, shift):
    """With both schedules of noise levels, unless sigma.shift says another."""
    prior = make(quick("prior=tiny_flow").prior, "prior", Context("a corgi"), Prior)
    prior.schedule = noise_schedule({"_class_name": "FlowMatchEulerDiscreteScheduler", **scheduler}, "model")
    assert torch.allclose(_levels(prior), shift * _levels(Menagerie(Context("a cat"))))
    cams = Orbit(groups=400, views=1, resolution=8)(Stream(0, "camera"))
    for given, expected in (("null", shift), ("2.0", 2.0)):
        drawn = []
        for mine in (given, "1.0"):
            sigma = make(quick("sigma=flow", f"sigma.shift={mine}").sigma, "sigma", Context(steps=600), Sigma)
            sigma.attach(prior)
            drawn.append(sigma(cams, Stream(0, "sigma", 0)))
        assert torch.allclose(drawn[0], expected * drawn[1])
