"""The difference of branches, written out."""

import pytest
import torch
from worlds import RNG, TEXTS, condition, per_view

from gsd.guidance.csd import CSD
from gsd.guidance.sds import SDS
from gsd.schedule import Linear


def branches(world):
    x = world.noised()
    return (world.eps(x, world.sigma, texts) for texts in (TEXTS, ("", ""), ("ugly", "an owl")))


def test_is_the_difference_of_the_branches(world):
    text, empty, _ = branches(world)
    score = world.run(CSD(guidance_scale=2))
    weight = per_view(world.sigma**2 / (1 + world.sigma**2))
    assert world.near(score.gradient, 2 * weight * (text - empty))
    assert world.near(score.residual, 2 * (text - empty))
    assert world.near(score.eps, text)
    assert score.prior_calls == 4


def test_is_what_guidance_adds_to_sds(world):
    more, less = (world.run(SDS(guidance_scale=s, weighting="uniform")).gradient for s in (3, 2))
    assert world.near(world.run(CSD(weighting="uniform")).gradient, more - less)


@pytest.mark.parametrize(("lead", "calls"), [(1.0, 4), (0.5, 6), (0.0, 4)])
def test_negative_prompts_have_a_weight_of_their_own(world, lead, calls):
    text, empty, unwanted = branches(world)
    schedule = Linear(kind="linear", start=lead, end=9.0, begin=RNG.step, until=RNG.step + 5)
    guidance = CSD(negative_scale=schedule, weighting="uniform")
    score = world.run(guidance, condition=condition(("ugly", "an owl")))
    assert world.near(score.gradient, text - empty + lead * (empty - unwanted))
    assert score.prior_calls == calls
    unled = world.run(guidance, condition=condition(("", "")))
    assert torch.equal(unled.gradient, world.run(CSD(weighting="uniform")).gradient)
