"""Pictures that priors draw: where the right answer is known, that; where diffusers has a sampler, its own."""

import pytest
import torch
from pipelines import random_controlnet, random_multiview, random_pipeline
from quick_config import quick

from gsd.backend.checkpoint import TINY
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.config import make
from gsd.prior.menagerie import Menagerie
from gsd.prior.mvdream import MVDream
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.prior.threefuse import ThreeFuse
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.sampling import draw, levels, sample
from gsd.types import Condition, Context, PointCloud

SMALL = {"variants": 2, "azimuths": 24, "elevations": (0.0, 15.0)}


@pytest.fixture(scope="module")
def tiny():
    return make(quick("prior=tiny").prior, "prior", Context("a corgi"), Prior)


@pytest.mark.parametrize(("view", "middle"), [("front", 0.0), ("back", 180.0)])
def test_samples_of_the_exact_prior_are_images_of_its_bank(view, middle):
    prior = Menagerie(Context("a corgi"), resolution=32, view_words=12.0, **SMALL)
    text = f"a corgi, {view} view"
    drawn = torch.stack([draw(prior, text, "a corgi", Stream(k, "picture"), resolution=32) for k in range(4)])
    z, low = 2 * drawn - 1, torch.full((4,), 0.01)
    found = prior.posterior(z, low, Condition(("a corgi",) * 4))
    assert (found.probs.amax(1) > 0.999).all()
    assert (z - prior.denoise(z, low, Condition(("a corgi",) * 4))).abs().max() < 1e-3  # nothing between two of them
    azimuth = found.azimuth[found.probs.argmax(1)]
    assert (torch.cos(torch.deg2rad(azimuth - middle)) > 0.7).all()
    assert len(drawn.unique(dim=0)) > 1
    assert torch.equal(drawn[0], draw(prior, text, "a corgi", Stream(0, "picture"), resolution=32))


def test_samples_have_the_frequencies_of_the_prior():
    """Of 64 pictures a binomial error of .06: fronts are e^(2 view_bias) times as frequent as backs."""
    prior = Menagerie(Context("a corgi"), resolution=16, view_bias=1.0, **SMALL)
    count = 64
    shape = (count, 3, 16, 16)
    noise, alike = torch.randn(shape, generator=Stream(0, "x").generator()), Condition(("a corgi",) * count)
    z = sample(prior, noise, alike, levels(prior, 60), 1.0)
    found = prior.posterior(z, torch.full((count,), 0.01), alike)
    around = torch.cos(torch.deg2rad(found.azimuth[found.probs.argmax(1)]))
    every = torch.deg2rad(torch.arange(24) * 15.0).cos()
    expected = float((every.softmax(0) * every).sum())
    assert float(around.mean()) == pytest.approx(expected, abs=4 * float(around.std()) / count**0.5)


def test_a_sample_is_that_of_diffusers(tiny):
    """Its own DDIM, at its own steps, with guidance."""
    mend_torchvision()
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from diffusers.utils.logging import disable_progress_bar

    disable_progress_bar()
    pipe = StableDiffusionPipeline.from_pretrained(TINY, safety_checker=None, local_files_only=True).to(torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, set_alpha_to_one=True)
    pipe.scheduler.set_timesteps(8)
    sigmas = tiny.log_sigmas().exp()[pipe.scheduler.timesteps]
    pipe.set_progress_bar_config(disable=True)
    texts = ("a corgi, front view", "an owl, back view")
    noise = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    latents = noise * float(sigmas[0] / (1 + sigmas[0] ** 2) ** 0.5)
    theirs = pipe(list(texts), latents=latents, num_inference_steps=8, guidance_scale=3.0, output_type="latent").images
    ours = sample(tiny, noise, Condition(texts), sigmas.tolist(), 3.0)
    assert theirs.std() > 0.3
    assert (ours - theirs).abs().max() < 2e-3 * theirs.abs().max()


def test_the_small_model_draws_the_animal_that_it_is_asked_for(tiny):
    judge, blurred = Menagerie(Context("a corgi"), resolution=64, variants=2, azimuths=36), torch.tensor([2.0])
    names = ("a corgi", "an owl", "a rabbit on a pancake")
    for name in names:
        rgb = draw(tiny, f"{name}, front view", name, Stream(1, "picture"))
        z = judge.encode(rgb[None])
        away = {each: float((z - judge.denoise(z, blurred, Condition((each,)))).square().mean()) for each in names}
        assert min(away, key=away.get) == name
        found = judge.posterior(z, blurred, Condition((name,)))
        assert torch.cos(torch.deg2rad(found.azimuth[found.probs.argmax()])) > 0


def test_levels_go_from_the_prior_s_highest_to_its_lowest(tiny):
    seen = levels(tiny, 10)
    sigmas = tiny.log_sigmas().exp().tolist()
    assert seen[0] == pytest.approx(sigmas[-1], rel=1e-3)
    assert seen[-1] == pytest.approx(sigmas[0], rel=1e-3)
    t = torch.tensor(seen) / (1 + torch.tensor(seen))
    assert torch.allclose(t.diff(), t.diff()[0].expand(9), atol=1e-5)


def test_priors_that_want_more_than_a_text(tmp_path, monkeypatch):
    """Four views of which the first is shown; a ControlNet whose points are made of the picture."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    random_multiview(tmp_path / "four")
    four = MVDream(Context("a corgi"), model=str(tmp_path / "four"))
    rgb = draw(four, "a corgi, front view", "a corgi", Stream(0, "x"), steps=3)
    assert rgb.shape == (3, four.resolution, four.resolution)
    random_controlnet(tmp_path / "controlnet", random_pipeline(tmp_path / "one").unet)
    plain = StableDiffusion(Context("a corgi"), model=str(tmp_path / "one"))
    guided = ThreeFuse(Context("a corgi"), model=str(tmp_path / "one"), controlnet=str(tmp_path / "controlnet"))
    first = draw(guided, "a corgi", "a corgi", Stream(0, "x"), steps=3)
    assert torch.equal(first, draw(plain, "a corgi", "a corgi", Stream(0, "x"), steps=3))
    guided.condition_on(PointCloud(0.3 * torch.randn(50, 3), torch.rand(50, 3)))
    assert not torch.equal(first, draw(guided, "a corgi", "a corgi", Stream(0, "x"), steps=3))
    guided.condition_on(None)
    assert torch.equal(first, draw(guided, "a corgi", "a corgi", Stream(0, "x"), steps=3))
