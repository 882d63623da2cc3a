"""RFDS-Rev in the coordinates of its source: steps of a flow on x_t = (1 - t) z + t n, with the velocity n - z."""

import pytest
import torch
from families import random_family
from pipelines import relative
from worlds import RNG, TEXTS, inputs, per_view

from gsd.guidance.rfds_rev import RFDSRev
from gsd.guidance.sds import SDS
from gsd.prior.text_to_image import TextToImage
from gsd.types import Condition, Context, Noised

SCALE, PROMPT = 7.5, "an owl, back view"
STEPS = {"noise": lambda t: 1 - t, "velocity": torch.ones_like}  # of iRFDS: with Stable Diffusion 3, with InstaFlow


def source(velocity, z, noise, t, reverse, scale):
    """Its two steps. velocity(x_t, texts): what the flow says."""
    n = noise + per_view(STEPS[reverse](t)) * (velocity((1 - per_view(t)) * z + per_view(t) * noise, True) + z - noise)
    x = (1 - per_view(t)) * z + per_view(t) * n
    text, empty = velocity(x, True), velocity(x, False)
    return empty + scale * (text - empty) - (n - z)


@pytest.mark.parametrize("reverse", STEPS)
def test_is_the_source(world, reverse):
    """Of any prior: x_t - t v is what it takes for clean, as of a flow."""
    t = world.sigma / (1 + world.sigma)

    def velocity(x, with_text):
        texts = TEXTS if with_text else ("", "")
        wide = x / (1 - per_view(t))
        clean = wide - per_view(world.sigma) * world.eps(wide, world.sigma, texts)
        return (x - clean) / per_view(t)

    score = world.run(RFDSRev(guidance_scale=SCALE, reverse=reverse))
    assert world.near(score.gradient, source(velocity, world.z, world.noise, t, reverse, SCALE))
    assert score.prior_calls == 2 * 3


@torch.no_grad()
@pytest.mark.parametrize("reverse", STEPS)
def test_is_the_source_on_stable_diffusion_3(reverse, tmp_path):
    pipe = random_family("sd3", tmp_path)
    z, noise = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(6)).unbind()
    t = torch.tensor([0.3, 0.9])
    text, empty, pooled, empty_pooled = pipe.encode_prompt([PROMPT] * 2, None, None, device="cpu")

    def velocity(x, with_text):
        states = (text, pooled) if with_text else (empty, empty_pooled)
        return pipe.transformer(x, *states, 1000 * t).sample

    prior = TextToImage(Context(), str(tmp_path), resolution=16)
    given = Noised(z, noise, t / (1 - t), Condition((PROMPT,) * 2), RNG)
    score = RFDSRev(guidance_scale=SCALE, reverse=reverse)(prior, given)
    assert relative(score.gradient, source(velocity, z, noise, t, reverse, SCALE)) < 1e-5


def test_it_is_sds_with_the_noise_that_the_prior_predicts_and_not_sds_with_a_weight(world):
    rev = world.run(RFDSRev(guidance_scale=SCALE, weighting="uniform"))
    predicted = world.eps(world.noised(), world.sigma, TEXTS)
    sds = SDS(guidance_scale=SCALE, weighting="uniform")
    assert world.near(rev.gradient, world.run(sds, noise=predicted).gradient)
    assert torch.equal(rev.residual, rev.gradient)
    plain = world.run(sds).gradient
    along = torch.nn.functional.cosine_similarity(rev.gradient.flatten(1), plain.flatten(1))
    assert (along < 0.999).any()


def test_random_noise_leaves_less_of_itself_in_it():
    """Of a prior that is a Gaussian, whose flow is linear: over draws, the gradient varies less than that of SDS."""
    from worlds import Pull

    given = inputs()
    gradients = {RFDSRev: [], SDS: []}
    for seed in range(64):
        noise = torch.randn(given.noise.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        drawn = Noised(given.latents, noise, given.sigma, given.condition, RNG)
        for kind, found in gradients.items():
            found.append(kind(guidance_scale=1.0, weighting="uniform")(Pull(), drawn).gradient)
    spread = {kind: torch.stack(found).var(0).mean((1, 2, 3)) for kind, found in gradients.items()}
    assert (spread[RFDSRev] < spread[SDS]).all()
