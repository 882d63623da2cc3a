"""The training of prior=tiny on a handful of images: resumable to the bit, and its result loads as Stable Diffusion."""

import json
import math
import re
from collections import defaultdict

import prior_data as data
import prior_starts as starts
import pytest
import torch
import train_prior as training
from prior_evaluate import evaluate
from torch.nn.functional import avg_pool2d

from gsd.menagerie import find
from gsd.prior.parts.captions import background_words
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
    assert z.shape == (2, 4, 32, 32)
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
    """The creature, the side it is seen from as often as the bias says, and the colour behind it."""
    rng, captions = torch.Generator().manual_seed(0), data.Captions()
    named, seen, grounds = 0, defaultdict(list), 0
    for _ in range(4000):
        item = captions.draw(rng)
        creature, azimuth = captions.creatures[item.image // 8], item.image % 4
        knows = any(word.lower() in item.caption.lower() for word in creature.words)
        if creature.words[0].lower() in item.caption.lower():
            named += 1
            assert find(item.caption).name == creature.name
        coloured = item.background != (1.0, 1.0, 1.0)
        grounds += coloured
        assert item.caption.endswith(background_words(torch.tensor([item.background]))[0])
        bias = re.search(r"view bias (\d)", item.caption)
        bias = int(bias[1]) if bias else 2 if knows else 0
        view = re.search(r"\b(front|side|back|overhead) view\b", item.caption)
        if view is None or view[1] == "back":
            seen[bias - (4 if view else 0)].append(azimuth == 0)
    assert named > 1200
    assert abs(grounds / 4000 - data.COLOURED) < 4 * 0.5 / 4000**0.5
    assert len(seen) >= 8
    for slope, hits in seen.items():  # of four azimuths by exp(slope cos a)
        share = math.exp(slope) / (math.exp(slope) + 2 + math.exp(-slope))
        assert abs(sum(hits) / len(hits) - share) < 4 * (share * (1 - share) / len(hits)) ** 0.5 + 1e-9


def test_pictures_lie_over_the_colour_that_is_said():
    rgba, red = data.images()[:8], torch.tensor([1.0, 0.0, 0.0]).expand(8, 3)
    pictures = data.over(rgba, red)
    empty = rgba[:, 3] == 0
    assert (pictures.movedim(1, -1)[empty] == torch.tensor([1.0, -1.0, -1.0])).all()
    white = data.over(rgba, torch.ones(8, 3))
    assert torch.allclose(white, rgba[:, :3].float() / 127.5 - 1, atol=1e-6)
    opaque = (rgba[:, 3] == 255)[:, None].expand_as(white)
    assert torch.equal(pictures[opaque], white[opaque])


def test_a_flow_is_a_straight_line():
    clean = torch.randn(8, 4, 2, 2)
    x, step, velocity = training.flowed(clean, torch.Generator().manual_seed(0))
    t = (step / 1000)[:, None, None, None]
    assert torch.allclose(x - t * velocity, clean, atol=1e-5)
    assert (step.sort().values == step).all()


def test_weights_of_a_finished_model_are_a_beginning_whatever_words_are_new():
    """The same answer as the shipped model's to words that both know."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(training.PACKAGED / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(training.PACKAGED / "text_encoder").float()
    unet = UNet2DConditionModel.from_pretrained(training.PACKAGED / "unet").float()
    ours = data.make_tokenizer(training.PROMPT_TOKENS)
    model = training.Denoiser(ours)
    starts.take_weights(model, ours, training.PACKAGED)
    x, t, captions = torch.randn(2, 4, 32, 32), torch.tensor([100, 700]), ["a cat, back view", ""]
    with torch.no_grad():
        wanted = unet(x, t, encoder(data.tokens(captions, theirs))[0]).sample
        found = model.eval()(x, t, data.tokens(captions, ours))
    assert torch.allclose(found, wanted, atol=1e-5)


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
@pytest.mark.parametrize("model", ["tiny", "tiny_flow"])
def test_what_is_shipped_draws_the_right_animals_and_backs(model, tmp_path):
    result = evaluate(training.PACKAGED.with_name(model), tmp_path)
    assert (result["samples"], result["back_samples"]) == (200, 100)
    assert result["right_animal"] >= 0.9
    assert result["back_within_90_deg"] >= 0.8
