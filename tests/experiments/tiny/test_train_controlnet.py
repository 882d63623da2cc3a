"""The training of the ControlNet beside prior=tiny on a handful of images: resumable to the bit, small, loadable."""

import pytest
import torch
from torch.nn.functional import max_pool2d

from gsd.geometry import turntable
from gsd.menagerie import trace
from gsd.types import Condition, Context, PointCloud


@pytest.fixture
def training(few_images, monkeypatch):
    import controlnet_data
    import train_controlnet

    for name, value in {"MISSING": (0.1,), "POINTS": 400}.items():
        monkeypatch.setattr(controlnet_data, name, value)
    monkeypatch.setattr(train_controlnet, "BATCH", 4)
    return train_controlnet


REACH = 5  # pixels: the radius of the largest disc and twice the error of where a cloud stands


def _pipeline(folder):
    """As untrained as prior=tiny can be."""
    import prior_networks as networks
    from diffusers import StableDiffusionPipeline
    from prior_data import make_tokenizer

    torch.manual_seed(0)
    tokenizer = make_tokenizer(networks.PROMPT_TOKENS)
    parts = {"vae": networks.vae(), "unet": networks.unet(), "text_encoder": networks.text_encoder(tokenizer)}
    pipe = StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)


def test_pictures_show_the_animal_of_the_image_from_its_camera(training):
    """Discs lie within their own and the cloud's error of the animal's outline, and fill most of it."""
    import controlnet_data as module

    pairs = module.Pairs(0)
    rng = torch.Generator().manual_seed(0)
    items, pictures = pairs.draw(6, rng)
    assert pictures.shape == (6, 3, 64, 64)
    assert 0 <= float(pictures.min()) < float(pictures.max()) <= 1
    for item, picture in zip(items, pictures, strict=True):
        creature = pairs.captions.creatures[item.image // 8]
        outline = trace(creature.figure(0), module.camera([item.image])).alpha[0, 0] > 0.5
        near = max_pool2d(outline[None].float(), 2 * REACH + 1, 1, REACH)[0] > 0
        covered = picture[0] > 0
        assert (covered & near).sum() > 0.95 * covered.sum()
        assert (covered & outline).sum() > 0.6 * outline.sum()


def test_pairs_are_a_function_of_the_generator(training):
    import controlnet_data as module

    one, other = (module.Pairs(0).draw(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert one[0] == other[0]
    assert torch.equal(one[1], other[1])


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_with_the_same_bits(training, call, terminated, tmp_path):
    from gsd.prior.threefuse import ThreeFuse

    _pipeline(tmp_path / "pipeline")
    common = ("--pipeline", tmp_path / "pipeline", "--data", tmp_path / "data", "--steps", 4)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    call(training, "--out", straight, "--to", straight / "controlnet", *common)
    with terminated(controlnet=1), pytest.raises(SystemExit, match="stopped at step 2 of controlnet"):
        call(training, "--out", broken, "--to", broken / "controlnet", *common)
    call(training, "--out", broken, "--to", broken / "controlnet", *common)
    one, other = (f / "controlnet" / "diffusion_pytorch_model.safetensors" for f in (straight, broken))
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_size < 5e6
    assert (broken / "curve.png").exists()

    prior = ThreeFuse(Context(), str(tmp_path / "pipeline"), str(straight / "controlnet"), radius=0.05, fill=1)
    prior.see(PointCloud(0.3 * torch.randn(200, 3), torch.rand(200, 3)))
    condition = Condition(("an owl", ""), turntable(2, 64))
    assert prior.denoise(torch.randn(2, 4, 16, 16), torch.ones(2), condition).isfinite().all()
