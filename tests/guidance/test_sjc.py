"""Perturb-and-average scoring against its definition by D, and the identities that hold in sigma space."""

import torch
from worlds import RNG, TEXTS, per_view

from gsd.guidance.parts.shaping import GradientClip
from gsd.guidance.sds import SDS
from gsd.guidance.sjc import SJC


def test_is_the_definition(world):
    x, s = world.noised(), per_view(world.sigma)
    text, empty = world.eps(x, world.sigma, TEXTS), world.eps(x, world.sigma, ("", ""))
    denoised = x - s * (empty + 3 * (text - empty))
    score = world.run(SJC(guidance_scale=3))
    assert world.near(score.gradient, (world.z - denoised) / s)
    assert world.near(world.run(SJC(guidance_scale=3, variance_reduction=False)).gradient, (x - denoised) / s)
    assert world.near(score.cfg_delta, text - empty)
    assert score.prior_calls == 4


def test_reduced_variance_is_sds_with_uniform_weights(world):
    assert world.near(
        world.run(SJC(guidance_scale=3)).gradient, world.run(SDS(guidance_scale=3, weighting="uniform")).gradient
    )
    clip = GradientClip(per="pixel", limit=0.5)
    clipped = world.run(SJC(clip=clip)).gradient
    assert world.near(clipped, clip(world.run(SJC()).gradient, RNG.step))


def test_both_forms_agree_in_expectation_and_one_is_noisier():
    """Over noise, at a level where D hardly depends on it: the mean is the same, the variance 1 or far less."""
    from worlds import exact

    world = exact()
    sigma = torch.full((2,), 14.6, dtype=torch.float64)
    draws = torch.randn(50, *world.z.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    reduced, plain = (
        torch.stack([world.run(SJC(variance_reduction=v), noise=n, sigma=sigma).gradient for n in draws])
        for v in (True, False)
    )
    assert (reduced - plain + draws).abs().max() < 1e-9  # they differ by the noise alone
    assert reduced.var(0).mean() < 0.1 * plain.var(0).mean()
