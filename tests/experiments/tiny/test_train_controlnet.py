"""The training of the ControlNet beside prior=tiny on a handful of images: resumable to the bit, small, loadable."""

import controlnet_data
import prior_data
import prior_networks as networks
import pytest
import torch
import train_controlnet
from torch.nn.functional import max_pool2d

from gsd.geometry import turntable
from gsd.menagerie import trace
from gsd.prior.threefuse import ThreeFuse
from gsd.types import Condition, Context, PointCloud

REACH = 5  # pixels: the radius of the largest disc and twice the error of where a cloud stands


@pytest.fixture(autouse=True)
def _small_world(monkeypatch):
    """20 creatures x 2 elevations x 4 azimuths."""
    for name, value in {"VARIANTS": 1, "ELEVATIONS": (0.0, 50.0), "LEVEL": 1, "AZIMUTHS": 4}.items():
        monkeypatch.setattr(prior_data, name, value)
    for name, value in {"MISSING": (0.1,), "POINTS": 400}.items():
        monkeypatch.setattr(controlnet_data, name, value)
    monkeypatch.setattr(train_controlnet, "BATCH", 4)


def test_pictures_show_the_animal_of_the_image_from_its_camera():
    """Discs lie within their own and the cloud's error of the animal's outline, and fill most of it."""
    pairs = controlnet_data.Pairs(0)
    rng = torch.Generator().manual_seed(0)
    items, pictures = pairs.draw(6, rng)
    assert pictures.shape == (6, 3, 64, 64)
    assert 0 <= float(pictures.min()) < float(pictures.max()) <= 1
    for item, picture in zip(items, pictures, strict=True):
        creature = pairs.captions.creatures[item.image // 8]
        outline = trace(creature.figure(0), controlnet_data.camera([item.image])).alpha[0, 0] > 0.5
        near = max_pool2d(outline[None].float(), 2 * REACH + 1, 1, REACH)[0] > 0
        covered = picture[0] > 0
        assert (covered & near).sum() > 0.95 * covered.sum()
        assert (covered & outline).sum() > 0.6 * outline.sum()


def test_pairs_are_a_function_of_the_generator():
    one, other = (controlnet_data.Pairs(0).draw(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert one[0] == other[0]
    assert torch.equal(one[1], other[1])


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_with_the_same_bits(same_bits, tmp_path):
    torch.manual_seed(0)
    tokenizer = prior_data.make_tokenizer(networks.PROMPT_TOKENS)
    untrained = networks.pipeline(
        networks.vae(), networks.unet(), networks.text_encoder(tokenizer), tokenizer, networks.scheduler()
    )
    untrained.save_pretrained(tmp_path / "pipeline")
    common = ("--pipeline", tmp_path / "pipeline", "--data", tmp_path / "data", "--steps", 4)
    weights = "diffusion_pytorch_model.safetensors"
    straight, _ = same_bits(train_controlnet.main, [("controlnet", 1)], [weights], *common)
    assert (straight / "model" / weights).stat().st_size < 5e6

    prior = ThreeFuse(Context(), str(tmp_path / "pipeline"), str(straight / "model"), radius=0.05, fill=1)
    prior.condition_on(PointCloud(0.3 * torch.randn(200, 3), torch.rand(200, 3)))
    condition = Condition(("an owl", ""), turntable(2, 64))
    assert prior.denoise(torch.randn(2, 4, 32, 32), torch.ones(2), condition).isfinite().all()
