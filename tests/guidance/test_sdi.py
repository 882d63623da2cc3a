"""Score distillation via inversion, written out in the coordinates of the source."""

import pytest
import torch
from worlds import RNG, TEXTS, exact, per_view

from gsd.guidance.sdi import SDI
from gsd.guidance.sds import SDS
from gsd.noise_levels import sigma_at


def guided(world, x, sigma, scale):
    text, empty = world.eps(x, sigma, TEXTS), world.eps(x, sigma, ("", ""))
    return empty + scale * (text - empty)


def beyond():
    return 100 * float(torch.rand((), generator=RNG.sub("length").generator()))


def test_is_the_source(world):
    """Two views at one t, as in a group; DDIM's steps of 100 on alpha x + s n, with noise added in each."""
    t, eta, scale, lead = 330, 0.3, 8.5, -6.5
    draws = RNG.sub("inversion").generator()
    sigma = world.levels(torch.tensor([t, t])).to(world.sigma)
    ends = [world.levels(torch.tensor(k)).to(world.z) for k in (0, 100, 200, 300)]
    ends.append(sigma_at(torch.tensor(t + beyond()).to(world.z), world.prior.log_sigmas()))
    abar = [1 / (1 + level**2) for level in ends]
    x = abar[0].sqrt() * world.z
    for k in range(4):
        eps = guided(world, x / abar[k].sqrt(), ends[k].repeat(2), lead)
        clean = (x - (1 - abar[k]).sqrt() * eps) / abar[k].sqrt()
        x = abar[k + 1].sqrt() * clean + (1 - abar[k + 1]).sqrt() * eps
        variance = (1 - abar[k]) / (1 - abar[k + 1]) * (1 - abar[k + 1] / abar[k])
        x = x + eta * variance.sqrt() * torch.randn(x.shape, generator=draws, dtype=x.dtype)
    found = (x - abar[-1].sqrt() * world.z) / (1 - abar[-1]).sqrt()
    noisy = world.z + per_view(sigma) * found
    denoised = noisy - per_view(sigma) * guided(world, noisy, sigma, scale)
    score = world.run(SDI(guidance_scale=scale, inversion_scale=lead, eta=eta), sigma=sigma)
    assert world.near(score.gradient, world.z - denoised, times=4)  # five predictions one after the other, led by -6.5
    assert score.prior_calls == 2 * 2 * 5


def test_is_sds_with_the_noise_it_found(world):
    score = world.run(SDI(1.0, 1.0, weighting="uniform", eta=0.0))
    assert world.near(
        world.run(SDS(guidance_scale=1.0, weighting="uniform"), noise=score.eps - score.residual).gradient,
        score.residual,
    )
    assert torch.equal(score.gradient, world.run(SDI(1.0, 1.0, weighting="uniform", eta=0.0), noise=world.z).gradient)


def test_noise_of_the_inversion_is_drawn_from_the_stream(world):
    one, same = (world.run(SDI(1.0, 1.0)).gradient for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, world.run(SDI(1.0, 1.0), rng=RNG.at(4)).gradient)


def test_below_the_level_at_which_pictures_compete_it_leads_to_the_nearest():
    """On the exact prior a straight path leads there, however many steps: gradient = z - nearest picture."""
    world = exact()
    sigma = world.levels(torch.tensor([200, 300])).double()
    picture = world.prior.denoise(world.noised(), world.sigma, world.condition)
    picture = world.prior.denoise(picture, torch.full((2,), 0.01, dtype=torch.float64), world.condition)
    z = picture + 0.05 * world.noise
    for steps in (10, 100):
        got = world.run(SDI(1.0, 1.0, inversion_steps=steps, eta=0.0), z=z, sigma=sigma).gradient
        assert torch.allclose(got, z - picture, atol=1e-9)


@pytest.mark.parametrize("t", [0, 50, 999])
def test_every_level_works(world, t):
    sigma = world.levels(torch.tensor([t, t])).to(world.sigma)
    score = world.run(SDI(1.0, 1.0), sigma=sigma)
    assert score.gradient.isfinite().all()
    assert score.prior_calls == 2 * (max(1, -(-t // 100)) + 1)


def test_finds_its_noise_itself():
    assert SDI().draws_own_noise
