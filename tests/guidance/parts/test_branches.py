"""Branch arithmetic against formulas written out, on a prior that is linear in what its texts name."""

from dataclasses import replace

import torch
from worlds import Pull, inputs

from gsd.guidance.parts.branches import guide, perpendicular
from gsd.guidance.sds import SDS
from gsd.types import Condition


class Counting(Pull):
    """Pull, which points elsewhere for every text, and counts its calls."""

    def __init__(self):
        self.calls = []

    def denoise(self, x, sigma, condition):
        self.calls.append(len(x))
        out = []
        for i, text in enumerate(condition.texts):
            g = torch.Generator().manual_seed(int(text or 0))
            out.append(x[i] / (1 + sigma[i] ** 2) + torch.randn(x[i].shape, generator=g, dtype=x.dtype))
        return torch.stack(out)


def eps_of(x, sigma, texts):
    return (x - Counting().denoise(x, sigma, Condition(texts))) / sigma.view(-1, 1, 1, 1)


def test_a_negative_prompt_takes_the_place_of_the_empty_one():
    given = inputs()
    x, sigma = given.x, given.sigma
    prior = Counting()
    got = guide(prior, x, sigma, Condition(("1", "2", "3"), negatives=("7", "8", "9")), 5.0)
    text, negative = eps_of(x, sigma, ("1", "2", "3")), eps_of(x, sigma, ("7", "8", "9"))
    assert torch.allclose(got.eps, negative + 5 * (text - negative), atol=1e-10)
    assert torch.allclose(got.delta, text - negative, atol=1e-12)
    assert (prior.calls, got.calls) == ([6], 6)


def test_perp_neg_is_the_formula():
    given = inputs()
    x, sigma = given.x, given.sigma
    weights = torch.tensor([[-1.5, 0.0, -0.2], [-0.1, -2.0, 0.0]])
    condition = Condition(("1", "2", "3"), against=(("4", "5", "6"), ("7", "8", "9")), against_weights=weights)
    prior = Counting()
    got = guide(prior, x, sigma, condition, 1.0)
    uncond, text = eps_of(x, sigma, ("", "", "")), eps_of(x, sigma, ("1", "2", "3"))
    others = [eps_of(x, sigma, texts) - uncond for texts in condition.against]
    for v in range(3):
        delta = (text - uncond)[v].flatten()
        total = delta.clone()
        for k in range(2):
            other = others[k][v].flatten()
            total += weights[k, v].double() * (other - (other @ delta) / (delta @ delta) * delta)
        assert torch.allclose(got.eps[v].flatten(), uncond[v].flatten() + total, atol=1e-6)
    assert (prior.calls, got.calls) == ([12], 12)


def test_perpendicular_is_at_right_angles_and_bears_zero():
    a, b = torch.randn(2, 3, 2, 4, 4, dtype=torch.float64)
    assert (perpendicular(a, b) * b).sum((1, 2, 3)).abs().max() < 1e-12
    assert torch.equal(perpendicular(a, torch.zeros_like(b)), a)


def test_sds_uses_both():
    condition = Condition(("1", "2", "3"), negatives=("7",) * 3)
    given = replace(inputs(), condition=condition)
    score = SDS(guidance_scale=3, weighting="uniform")(Counting(), given)
    assert torch.allclose(score.gradient, guide(Counting(), given.x, given.sigma, condition, 3).eps - given.noise)
