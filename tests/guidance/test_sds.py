from dataclasses import replace

import pytest
import torch
from worlds import Pull, inputs

from gsd.guidance.sds import SDS
from gsd.guidance.sjc import SJC


@pytest.mark.parametrize("method", [SDS, SJC])
def test_without_a_scale_of_its_own_it_takes_the_priors_and_else_the_usual_one(method):
    class Strong(Pull):
        guidance_scale = 3.0

    class Silent(Pull):
        guidance_scale = None

    for prior, scale in ((Strong(), 3.0), (Silent(), {SDS: 101.0, SJC: 100.0}[method])):
        got, wanted = method()(prior, inputs()), method(guidance_scale=scale)(Pull(), inputs())
        assert torch.equal(got.gradient, wanted.gradient)
        assert got.prior_calls == 6


def test_equals_the_formula():
    given = inputs()
    n, sigma, condition = given.noise, given.sigma, given.condition
    s = sigma.view(-1, 1, 1, 1)
    x = given.latents + s * n
    score = SDS()(Pull(), given)
    eps = (x - Pull().denoise(x, sigma, condition)) / s
    abar = 1 / (1 + s**2)
    assert torch.allclose(score.eps, eps, atol=1e-12)
    assert torch.allclose(score.gradient, (1 - abar) * (eps - n), atol=1e-12)
    assert (score.cfg_delta, score.prior_calls) == (None, 3)
    uniform = SDS(weighting="uniform")(Pull(), given)
    assert torch.allclose(uniform.gradient, eps - n, atol=1e-12)


def test_guidance_scale_follows_diffusers():
    given = inputs()
    text = SDS()(Pull(), given).eps
    uncond = SDS()(Pull(), replace(given, condition=given.condition.unconditional())).eps
    score = SDS(guidance_scale=7.5)(Pull(), given)
    assert torch.allclose(score.eps, uncond + 7.5 * (text - uncond), atol=1e-10)
    assert torch.allclose(score.cfg_delta, text - uncond, atol=1e-12)
    assert score.prior_calls == 6
    unguided = SDS(guidance_scale=0)(Pull(), given)
    assert torch.allclose(unguided.eps, uncond, atol=1e-12)
