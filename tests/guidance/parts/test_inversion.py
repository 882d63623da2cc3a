"""Euler's steps in sigma space: they are DDIM's, and on an exact prior they converge to a path that leads back."""

import pytest
import torch
from worlds import exact, levels, per_view

from gsd.guidance.parts.inversion import follow, grid
from gsd.noise_levels import sigma_at, step_at


def test_steps_and_levels_follow_the_schedule():
    whole = torch.arange(1000)
    assert torch.allclose(sigma_at(whole.double()), levels(whole).double(), rtol=1e-6)
    assert torch.allclose(step_at(levels(whole).double()), whole.double(), atol=1e-3)
    between = torch.tensor([0.25, 500.5, 998.75], dtype=torch.float64)
    assert torch.allclose(step_at(sigma_at(between)), between, atol=1e-6)
    assert float(sigma_at(torch.tensor(500.5))) == pytest.approx(float(levels(500) * levels(501)) ** 0.5)
    assert step_at(torch.tensor([1e-3, 1e3])).tolist() == [0, 999]


def test_a_grid_ends_where_each_view_ends():
    steps = torch.stack(grid(torch.tensor([850.0, 300.0]), 200.0))
    assert steps.tolist() == [[0, 0], [200, 200], [400, 300], [600, 300], [800, 300], [850, 300]]
    assert torch.stack(grid(torch.tensor([400.0]), 200.0)).tolist() == [[0], [200], [400]]
    assert torch.stack(grid(torch.tensor([0.0]), 200.0)).tolist() == [[0]]


def test_a_step_is_that_of_ddim():
    """Against diffusers' DDIMInverseScheduler, in its own coordinates."""
    from gsd.backend.torchvision_mend import mend_torchvision

    mend_torchvision()
    from diffusers import DDIMInverseScheduler

    scheduler = DDIMInverseScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    scheduler.set_timesteps(10)  # 0, 100, ... 900; a step comes from 100 below
    x, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    low, high = levels(torch.tensor([400])), levels(torch.tensor([500]))
    vp = scheduler.step(eps, 500, x / (1 + low**2).sqrt()).prev_sample
    assert torch.allclose(follow(x, [low, high], lambda x, sigma: eps), vp * (1 + high**2).sqrt(), atol=1e-5)


def test_the_way_up_and_back_ends_at_the_start_as_steps_shrink():
    """On the exact prior, from where pictures are told apart to where they are not: half the step, half the error."""
    world = exact()

    def eps(x, sigma):
        return (x - world.prior.denoise(x, sigma, world.condition)) / per_view(sigma)

    start = world.prior.denoise(world.noised(), world.sigma, world.condition) + 0.05 * world.noise
    errors = []
    for spacing in (4.0, 2.0, 1.0):
        path = [sigma_at(300 + t) for t in grid(torch.full((2,), 300.0, dtype=torch.float64), spacing)]
        top = follow(start, path, eps)
        assert (top - start).norm() > 0.1 * start.norm()  # it went somewhere
        errors.append(float((follow(top, path[::-1], eps) - start).norm() / start.norm()))
    assert errors[2] < 0.005
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.6)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.3)


def test_kicks_are_added_to_every_step():
    x = torch.zeros(1, 1, 2, 2)
    sigmas = [torch.tensor([s]) for s in (1.0, 2.0, 4.0)]
    got = follow(x, sigmas, lambda x, s: torch.zeros_like(x), lambda low, high: per_view(high - low) + x)
    assert torch.equal(got, torch.full_like(x, 3.0))
