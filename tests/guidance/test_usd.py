"""Uniform score distillation, against Bayes' rule, autograd and scipy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from quick_config import quick
from scipy.optimize import minimize
from worlds import exact, inputs, per_view

from gsd.config import make
from gsd.errors import GsdError
from gsd.guidance.sds import SDS
from gsd.guidance.usd import LEAST_MEAN, USD, shares
from gsd.protocols import Guidance, Prior
from gsd.types import Condition, Context

VIEWS = ("front view", "back view", "side view")
LIKELY = torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)  # p(c), of the plain prompt
WIDTH = 3.0  # standard deviation of the pictures of a view


class Mixture(Prior):
    """Of a view: N(centre of its words, WIDTH^2); of any other text: of the views, by LIKELY."""

    guidance_scale = 1.0

    def __init__(self):
        generator = torch.Generator().manual_seed(2)
        self.centres = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64)

    def encode(self, rgb):
        return rgb

    def decode(self, z):
        return z

    def log_densities(self, x, sigma):
        """log p(c) p(x | c) of one view, up to a constant."""
        squared = torch.stack([(x - centre).square().sum() for centre in self.centres])
        return LIKELY.log() - squared / (2 * (WIDTH**2 + sigma**2))

    def denoise(self, x, sigma, condition):
        out = []
        for view, level, text in zip(x, sigma, condition.texts, strict=True):
            mine = [k for k, words in enumerate(VIEWS) if words in text]
            probs = self.log_densities(view, level).softmax(0)
            centre = self.centres[mine[0]] if mine else torch.einsum("k,kchw->chw", probs, self.centres)
            out.append(view + (centre - view) * level**2 / (WIDTH**2 + level**2))
        return torch.stack(out)


def usd(**options):
    return USD(Context("a cat"), views=VIEWS, weighting="uniform", **options)


def asked():
    return replace(inputs(), condition=Condition(("a cat",) * 3))


def test_adds_the_gradient_of_the_log_of_f():
    """log f by its definition, with q by Bayes' rule, and its gradient by autograd."""
    prior, given, guidance = Mixture(), asked(), usd(rectify=0.5, intervals=1)
    guidance.mean = mean = torch.tensor([[0.6, 0.15, 0.25]], dtype=torch.float64)
    expected = []
    for x, sigma in zip(given.x.clone(), given.sigma, strict=True):
        x.requires_grad_()
        log_f = (prior.log_densities(x, sigma).softmax(0) / mean[0]).mean().log()
        expected.append(-sigma * torch.autograd.grad(log_f, x)[0])
    expected = torch.stack(expected)
    plain = SDS(weighting="uniform")(prior, given)
    score = guidance(prior, given)
    assert float(expected.flatten(1).norm(dim=1).min()) > 1e-3
    torch.testing.assert_close(score.gradient, plain.gradient + 0.5 * expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(score.eps, plain.eps + 0.5 * expected, rtol=1e-5, atol=1e-7)
    assert score.prior_calls == 3 + 3 * 4
    q = torch.stack([prior.log_densities(x, s).softmax(0) for x, s in zip(given.x, given.sigma, strict=True)])
    r = q / mean
    r = r / r.sum(1, keepdim=True)
    torch.testing.assert_close(
        guidance.vitals()["guidance/views_moved"], (r - q).abs().sum(1).mean() / 2, rtol=1e-5, atol=0
    )


def test_at_pure_noise_all_views_are_asked_for_alike():
    """q is p(c) there, and so is its mean, so that eps_hat becomes the mean of what the views say."""
    prior, guidance = Mixture(), usd(intervals=1)
    given = replace(asked(), sigma=torch.full((3,), 1e4, dtype=torch.float64))
    unmoved = guidance(prior, given)  # nothing was seen before
    torch.testing.assert_close(unmoved.gradient, SDS(weighting="uniform")(prior, given).gradient)
    torch.testing.assert_close(guidance.mean[0], LIKELY, rtol=1e-2, atol=1e-3)
    score = guidance(prior, given)
    views = torch.stack([prior.denoise(given.x, given.sigma, Condition((view,) * 3)) for view in VIEWS]).mean(0)
    torch.testing.assert_close(given.x - per_view(given.sigma) * score.eps, views, rtol=1e-2, atol=1e-2)


def test_the_term_is_no_longer_than_what_it_is_added_to():
    prior, given, guidance = Mixture(), asked(), usd(rectify=1e4, intervals=1)
    guidance.mean = torch.tensor([[0.9, 0.0, 0.1]], dtype=torch.float64)  # and a view that was never seen
    plain, score = SDS(weighting="uniform")(prior, given), guidance(prior, given)
    added = (score.gradient - plain.gradient).flatten(1).norm(dim=1)
    torch.testing.assert_close(added, plain.gradient.flatten(1).norm(dim=1))
    never = usd(rectify=0.0)
    never.mean = torch.full_like(never.mean, 0.1)
    assert torch.equal(never(prior, given).gradient, plain.gradient)
    assert LEAST_MEAN > 0


@pytest.mark.parametrize("seed", range(12))
def test_shares_are_those_of_a_general_optimiser(seed):
    generator = torch.Generator().manual_seed(seed)
    of_views = torch.randn(1, 4, 1, 2, 3, generator=generator, dtype=torch.float64)
    eps = 2 * torch.randn(1, 1, 2, 3, generator=generator, dtype=torch.float64)
    a, b = of_views.flatten(2)[0].numpy(), eps.flatten().numpy()
    found = minimize(
        lambda q: np.square(q @ a - b).sum(),
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
        tol=1e-14,
    )
    q = shares(eps, of_views)[0]
    np.testing.assert_allclose(q, found.x, atol=2e-5)
    assert float(q.min()) >= 0
    assert float(q.sum()) == pytest.approx(1)


def test_texts_that_say_the_same_share_alike():
    same = torch.ones(1, 4, 1, 2, 2)
    for eps in (torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)):
        torch.testing.assert_close(shares(eps, same), torch.full((1, 4), 0.25, dtype=torch.float64))


def test_averages_are_of_what_was_seen_at_that_noise_level_and_are_kept():
    prior, guidance = Mixture(), usd(intervals=4, memory=5)
    twin, seen = torch.full((4, 3), 1 / 3, dtype=torch.float64), [0, 0, 0, 0]
    for step in range(4):
        given = asked()
        given = replace(given, latents=given.latents * (step + 1), sigma=torch.tensor([0.1, 14.0, 14.5]).double())
        guidance(prior, given)
        q = [prior.log_densities(x, s).softmax(0) for x, s in zip(given.x, given.sigma, strict=True)]
        for interval, new in ((0, q[:1]), (3, q[1:])):
            seen[interval] = min(seen[interval] + len(new), max(5, len(new)))
            twin[interval] += (sum(new) - len(new) * twin[interval]) / seen[interval]
    torch.testing.assert_close(guidance.mean, twin, rtol=1e-5, atol=1e-7)
    fresh = usd(intervals=4, memory=5)
    fresh.restore(guidance.state())
    assert torch.equal(fresh(prior, given).gradient, guidance(prior, given).gradient)


def test_on_the_menagerie_the_plain_prompt_is_mostly_a_front_before_anything_is_seen():
    world = exact()
    texts = tuple(f"a corgi, {words}" for words in ("front view", "left side view", "back view", "right side view"))
    sigma = torch.full((2,), 150.0, dtype=torch.float64)
    x = per_view(sigma) * world.noise
    of_views = torch.stack([world.eps(x, sigma, (text, text)) for text in texts], 1)
    q = shares(world.eps(x, sigma, ("a corgi",) * 2), of_views)
    assert (q[:, 0] > 2 * q[:, 2]).all()  # the prior's view bias is 2
    torch.testing.assert_close(q[:, 1], q[:, 3], atol=0.1, rtol=0)


def test_is_made_from_its_yaml_and_says_what_it_asks():
    guidance = make(quick("guidance=usd").guidance, "guidance", Context("an owl"), Guidance)
    assert guidance.texts[0] == "an owl"
    assert guidance.texts[3] == "an owl, back view"
    with pytest.raises(GsdError, match=r"guidance\.views"):
        make(quick("guidance=usd", "guidance.views=[front view]").guidance, "guidance", Context("an owl"), Guidance)
