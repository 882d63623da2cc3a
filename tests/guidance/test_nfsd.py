"""The decomposition, on both sides of its threshold."""

import torch
from worlds import TEXTS, condition, per_view

from gsd.guidance.csd import CSD
from gsd.guidance.nfsd import NFSD, UNWANTED


def test_is_the_formula_on_both_sides_of_the_threshold(world):
    sigma = world.levels(torch.tensor([199, 200])).to(world.sigma)
    x = world.z + per_view(sigma) * world.noise
    text, empty, unwanted = (world.eps(x, sigma, texts) for texts in (TEXTS, ("", ""), (UNWANTED, UNWANTED)))
    domain = torch.stack([empty[0], empty[1] - unwanted[1]])
    score = world.run(NFSD(), sigma=sigma)
    weight = per_view(sigma**2 / (1 + sigma**2))
    assert world.near(score.gradient, weight * (domain + 7.5 * (text - empty)))
    assert world.near(score.residual, domain + 7.5 * (text - empty))
    assert world.near(world.run(NFSD(guidance_scale=0, weighting="uniform"), sigma=sigma).gradient, domain)
    assert score.prior_calls == 6


def test_small_noise_alone_asks_for_two_branches(world):
    sigma = world.levels(torch.tensor([10, 100])).to(world.sigma)
    assert world.run(NFSD(), sigma=sigma).prior_calls == 4
    assert world.run(NFSD(threshold=0.0), sigma=sigma).prior_calls == 6


def test_a_negative_prompt_goes_before_the_unwanted_words(world):
    mixed = world.run(NFSD(unwanted="dull"), condition=condition(("", "ugly")))
    words = world.run(NFSD(unwanted="dull"))
    other = world.run(NFSD(unwanted="ugly"))
    assert world.near(mixed.gradient, torch.stack([words.gradient[0], other.gradient[1]]))


def test_where_unwanted_words_mean_nothing_it_is_csd(world):
    """The empty text stands for words that the prior does not heed."""
    empty = world.run(NFSD(guidance_scale=3, unwanted=""))
    assert world.near(empty.gradient, world.run(CSD(guidance_scale=3)).gradient)
