"""Interval score matching, written out step by step in the coordinates of the source."""

import pytest
import torch
from worlds import TEXTS, exact, per_view

from gsd.guidance.csd import CSD
from gsd.guidance.ism import ISM

EMPTY = ("", "")


def inverted(world, ends, interval):
    """x_s, e(x_s, ""), x_t as LucidDreamer makes them: alpha x + s n, add_noise at 0, DDIM's steps of 200."""
    out = []
    for view, end in enumerate(ends):
        steps = [*range(0, end - interval, 200), end - interval]
        abar = [1 / (1 + world.levels(t).to(world.z) ** 2) for t in (*steps, end)]
        x = abar[0].sqrt() * world.z[view] + (1 - abar[0]).sqrt() * world.noise[view]
        for k in range(len(steps)):
            level = ((1 - abar[k]) / abar[k]).sqrt()
            before = x / abar[k].sqrt()
            eps = world.eps(before[None], level[None], ("",))[0]
            clean = (x - (1 - abar[k]).sqrt() * eps) / abar[k].sqrt()
            x = abar[k + 1].sqrt() * clean + (1 - abar[k + 1]).sqrt() * eps
        out.append((before, eps, x / abar[-1].sqrt()))
    return (torch.stack(parts) for parts in zip(*out, strict=True))


@pytest.mark.parametrize("interval", [80, 100])
def test_is_the_source(world, interval):
    ends = (480, 700)  # inverted to 400 and 620, or 380 and 600: three or four steps
    sigma = world.levels(torch.tensor(ends)).to(world.sigma)
    _, target, x = inverted(world, ends, interval)
    text, empty = world.eps(x, sigma, TEXTS), world.eps(x, sigma, EMPTY)
    score = world.run(ISM(interval=interval), sigma=sigma)
    assert world.near(score.gradient, per_view(sigma) * (empty + 7.5 * (text - empty) - target))
    assert world.near(score.residual, empty + 7.5 * (text - empty) - target)
    assert score.prior_calls == 2 * ({80: 4, 100: 3}[interval] + 1) + 4


def test_without_an_interval_it_is_csd_on_the_inverted_path(world):
    ends = (480, 700)
    sigma = world.levels(torch.tensor(ends)).to(world.sigma)
    x, _, _ = inverted(world, ends, 0)
    got = world.run(ISM(interval=0, guidance_scale=3, weighting="uniform"), sigma=sigma)
    noise = (x - world.z) / per_view(sigma)
    assert world.near(
        got.gradient, world.run(CSD(guidance_scale=3, weighting="uniform"), noise=noise, sigma=sigma).gradient
    )


def test_the_text_unasked_only_the_path_bends():
    """At scale 0 the gradient is the change of e along the unconditional path: first order in the interval."""
    world = exact()
    sigma = world.levels(torch.tensor([700, 700])).to(world.sigma)
    one, two = (world.run(ISM(interval=i, guidance_scale=0), sigma=sigma).residual.norm() for i in (2, 4))
    assert float(two / one) == pytest.approx(2, abs=0.3)


def test_the_lowest_steps_need_no_inversion(world):
    sigma = world.levels(torch.tensor([30, 60])).to(world.sigma)
    score = world.run(ISM(guidance_scale=1), sigma=sigma)
    assert score.gradient.isfinite().all()
    assert score.prior_calls == 4


def test_finds_its_noise_itself():
    assert ISM().draws_own_noise
