"""The training of prior=tiny on a handful of images: resumable to the bit, and its result loads as Stable Diffusion."""

import json
import math

import prior_data as data
import prior_starts as starts
import pytest
import torch
import train_prior as training
from prior_evaluate import evaluate
from torch.nn.functional import avg_pool2d

from gsd.menagerie import find
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.types import Condition, Context


@pytest.fixture(autouse=True)
def _small_world(monkeypatch):
    """20 creatures x 2 elevations x 4 azimuths."""
    for name, value in {"VARIANTS": 1, "ELEVATIONS": (0.0, 50.0), "LEVEL": 1, "AZIMUTHS": 4}.items():
        monkeypatch.setattr(data, name, value)
    for name, value in {"UNET_BATCH": 4, "VAE_BATCH": 2}.items():
        monkeypatch.setattr(training, name, value)


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_with_the_same_bits(same_bits):
    files = [f"{name}/diffusion_pytorch_model.safetensors" for name in ("unet", "vae")]
    stops, steps = [("vae", 1), ("unet", 2)], ("--vae-steps", 3, "--unet-steps", 4)
    straight, broken = same_bits(training.main, stops, [*files, "text_encoder/model.safetensors"], *steps)
    stages = [json.loads(line)["stage"] for line in (broken / "curve.jsonl").read_text().splitlines()]
    assert {"vae", "unet"} == set(stages)
    assert sum(file.stat().st_size for file in (straight / "model").rglob("*") if file.is_file()) < 10e6

    prior = StableDiffusion(Context(), str(straight / "model"))
    assert prior.schedule.prediction == "v_prediction"
    z = prior.encode(torch.rand(2, 3, 64, 64))
    assert z.shape == (2, 4, 16, 16)
    assert prior.denoise(z.detach(), torch.ones(2), Condition(("an owl", ""))).isfinite().all()


def test_an_untrained_autoencoder_already_passes_on_colours():
    torch.manual_seed(0)
    model, rgb = training.vae(), data.images()[::3, :3].float() / 127.5 - 1
    starts.start_from_colours(model, rgb)
    with torch.no_grad():
        z = model.encode(rgb).latent_dist.mean
        out = model.decode(z).sample
    assert torch.allclose(z.std((0, 2, 3)), torch.ones(4), atol=1e-2)
    coarse, wanted = (avg_pool2d(x, 4) for x in (out, rgb))
    explained = 1 - (coarse - wanted).square().mean((0, 2, 3)) / wanted.var((0, 2, 3))
    assert explained.min() > 0.9


def test_latents_are_normalised_without_changing_the_images():
    torch.manual_seed(0)
    model, pictures = training.vae().eval(), data.images()
    with torch.no_grad():
        before = model.decode(training._encode(model, pictures[:8])).sample
        training._normalise(model, training._encode(model, pictures))
        z = training._encode(model, pictures)
        after = model.decode(z[:8]).sample
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(z.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(z.std((0, 2, 3)) * training.SCALING, torch.ones(4), atol=1e-3)


def test_captions_name_what_is_in_the_picture():
    rng, captions = torch.Generator().manual_seed(0), data.Captions()
    named, fronts, backs = 0, [], []
    for _ in range(2000):
        item = captions.draw(rng)
        creature, azimuth = item.image // 8, item.image % 4
        if captions.creatures[creature].words[0].lower() in item.caption.lower():
            named += 1
            assert find(item.caption).name == captions.creatures[creature].name
        if item.caption.endswith(", back view"):
            backs.append(azimuth == 2)
        elif "view" not in item.caption:
            fronts.append(azimuth == 0)
    assert named > 600
    share = math.exp(2) / (math.exp(2) + 2 + math.exp(-2))  # of four azimuths by exp(2 cos a), or exp(-2 cos a)
    for hits in (fronts, backs):
        assert abs(sum(hits) / len(hits) - share) < 4 * (share * (1 - share) / len(hits)) ** 0.5


def test_the_tokenizer_knows_its_words_and_copes_with_others():
    tokenizer = data.make_tokenizer(77)
    assert tokenizer.tokenize("a LEGO wizard, left side view") == [
        f"{word}</w>" for word in ("a", "lego", "wizard", ",", "left", "side", "view")
    ]
    ids = tokenizer("a wombat with 漢字 and ünïcode!").input_ids
    assert len(ids) > 20
    assert tokenizer.eos_token_id not in ids[:-1]
    again = data.make_tokenizer(77)  # a training that goes on, and what is exported, must know the same ids
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@pytest.mark.slow
def test_what_is_shipped_draws_the_right_animals_and_backs(tmp_path):
    result = evaluate(training.PACKAGED, tmp_path)
    assert (result["samples"], result["back_samples"]) == (200, 100)
    assert result["right_animal"] >= 0.9
    assert result["back_within_90_deg"] >= 0.8
