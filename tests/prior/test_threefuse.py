"""Stable Diffusion with a ControlNet against plain calls of diffusers; how the cloud reaches it; what it refuses."""

import re

import pytest
import torch
from launch import SMALL
from pipelines import edit, random_controlnet, random_pipeline, relative
from quick_config import quick

from gsd.backend import checkpoint
from gsd.config import make
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import turntable
from gsd.guidance.csd import CSD
from gsd.guidance.ism import ISM
from gsd.guidance.nfsd import NFSD
from gsd.guidance.parts.branches import guide
from gsd.guidance.sdi import SDI
from gsd.guidance.sds import SDS
from gsd.guidance.sjc import SJC
from gsd.guidance.vsd import VSD
from gsd.prior.parts.depth import cloud_depth
from gsd.prior.threefuse import ThreeFuse
from gsd.protocols import ConditionsOnPoints, Init, Prior
from gsd.random import Stream
from gsd.types import Condition, Context, Noised, PointCloud


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a pipeline, folder of a ControlNet, and both as diffusers has them."""
    folder = tmp_path_factory.mktemp("threefuse")
    pipe = random_pipeline(folder / "pipeline", "v_prediction")
    controlnet = random_controlnet(folder / "controlnet", pipe.unet)
    return folder, pipe, controlnet


CLOUD = PointCloud(0.3 * torch.randn(150, 3, generator=torch.Generator().manual_seed(1)), torch.rand(150, 3))
CAMERAS = turntable(3, 16)
X = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
SIGMA = torch.tensor([0.3, 2.0, 9.0])
TEXTS = ("an owl", "a pig", "an owl, back view")


def _prior(made, seen=CLOUD, **options) -> ThreeFuse:
    folders = {name: str(made[0] / folder) for name, folder in (("model", "pipeline"), ("controlnet", "controlnet"))}
    prior = ThreeFuse(Context(), **folders | options)
    if seen is not None:
        prior.condition_on(seen)
    return prior


@torch.no_grad()
def _plain(made, prior, x, sigma, texts, pictures, scale):
    """The network's prediction by diffusers alone, one view at a time."""
    _, pipe, controlnet = made
    out = []
    for i, text in enumerate(texts):
        vp, t = x[i : i + 1] * (1 + sigma[i] ** 2).rsqrt(), prior.schedule.step(sigma[i : i + 1])
        words, _ = pipe.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)
        down, mid = controlnet(vp, t, words, pictures[i : i + 1], return_dict=False)
        out.append(
            pipe.unet(
                vp,
                t,
                encoder_hidden_states=words,
                down_block_additional_residuals=[scale * d for d in down],
                mid_block_additional_residual=scale * mid,
            ).sample
        )
    return torch.cat(out)


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_predictions_equal_plain_diffusers(made, scale):
    prior = _prior(made, conditioning_scale=scale, radius=0.1, fill=1)
    assert isinstance(prior, Prior)
    assert isinstance(prior, ConditionsOnPoints)
    pictures = cloud_depth(CLOUD.xyz, CAMERAS, 0.1, 1).expand(-1, 3, -1, -1)
    expected = _plain(made, prior, X, SIGMA, TEXTS, pictures, scale)
    assert relative(prior.predict(X, SIGMA, Condition(TEXTS, CAMERAS)), expected) < 1e-5


def test_the_residuals_enter_every_branch_of_guidance(made):
    """With Perp-Neg and a negative prompt: each branch alone, combined by hand."""
    prior = _prior(made)
    condition = Condition(
        TEXTS,
        CAMERAS,
        negatives=("ugly",) * 3,
        against=(("dull",) * 3,),
        against_weights=-torch.rand(1, 3, generator=torch.Generator().manual_seed(0)),
    )
    pictures = prior.picture(condition)
    level = SIGMA[:, None, None, None]
    assert pictures.shape == (3, 3, 16, 16)

    def eps(texts):
        out = _plain(made, prior, X, SIGMA, texts, pictures, 1.0)
        return out * (1 + level**2).rsqrt() + level / (1 + level**2) * X

    text, low, other = eps(TEXTS), eps(("ugly",) * 3), eps(("dull",) * 3)
    delta, away = text - low, other - low
    along = (away * delta).sum((1, 2, 3), keepdim=True) / delta.square().sum((1, 2, 3), keepdim=True)
    lead = delta + condition.against_weights[0].view(-1, 1, 1, 1) * (away - along * delta)
    got = guide(prior, X, SIGMA, condition, 7.5)
    assert relative(got.eps, low + 7.5 * lead) < 1e-4
    assert got.calls == 9


GUIDANCES = {
    "sds": SDS(7.5),
    "sjc": SJC(7.5),
    "csd": CSD(1.0, 0.5),
    "nfsd": NFSD(),
    "ism": ISM(),
    "sdi": SDI(),
    "vsd": VSD(Context("an owl")),
    "vsd without cameras": VSD(Context("an owl"), camera=False, lora_scale=2.0),
}


@pytest.mark.parametrize("name", GUIDANCES)
def test_every_guidance_passes_the_cameras_on_in_every_branch(made, name, monkeypatch):
    prior, guidance = _prior(made), GUIDANCES[name]
    if name.startswith("vsd"):
        guidance.attach(prior, Stream(0, "guidance"))
    shown = []
    picture = prior.picture
    monkeypatch.setattr(prior, "picture", lambda condition: shown.append(picture(condition)) or shown[-1])
    condition = Condition(TEXTS, CAMERAS, negatives=("ugly", "", "ugly"))
    score = guidance(prior, Noised(X, torch.randn_like(X), torch.full((3,), 5.0), condition, Stream(0, "guidance", 3)))
    assert score.gradient.isfinite().all()
    expected = picture(condition)
    for pictures in shown:
        assert len(pictures) % 3 == 0
        for copy in pictures.split(3):
            assert torch.equal(copy, expected)
    asked = score.prior_calls
    assert sum(map(len, shown)) == asked


def test_the_lora_of_vsd_learns_beside_the_controlnet(made):
    prior = _prior(made)
    guidance = VSD(Context("an owl"), lr=1e-2)
    guidance.attach(prior, Stream(0, "guidance"))
    condition = Condition(TEXTS, CAMERAS)
    before = prior.predict(X, SIGMA, condition)
    for step in range(2):
        guidance(prior, Noised(X, torch.randn_like(X), SIGMA, condition, Stream(0, "guidance", step)))
    assert torch.equal(prior.predict(X, SIGMA, condition), before)
    moved = [p for name, p in guidance.lora.params.items() if "lora_B" in name and p.abs().sum() > 0]
    assert moved
    assert not any(p.requires_grad for p in prior.controlnet.parameters())


def test_a_scale_of_0_is_stable_diffusion_and_other_clouds_give_other_predictions(made):
    from gsd.prior.stable_diffusion import StableDiffusion

    condition = Condition(TEXTS, CAMERAS)
    plain = StableDiffusion(Context(), str(made[0] / "pipeline")).predict(X, SIGMA, condition)
    assert torch.equal(_prior(made, conditioning_scale=0.0).predict(X, SIGMA, condition), plain)
    seen = _prior(made).predict(X, SIGMA, condition)
    other = _prior(made, seen=PointCloud(CLOUD.xyz * 0.5, CLOUD.rgb)).predict(X, SIGMA, condition)
    assert relative(seen, plain) > 1e-3
    assert relative(seen, other) > 1e-3


def test_pictures_have_the_models_resolution_whatever_the_renders(made):
    small, large = (_prior(made).picture(Condition(TEXTS, turntable(3, size))) for size in (16, 64))
    assert torch.equal(small, large)
    assert _prior(made, resolution=32).picture(Condition(TEXTS, CAMERAS)).shape == (3, 3, 32, 32)


def test_views_without_cameras_are_refused(made):
    with pytest.raises(GsdError, match="prior=threefuse needs the cameras"):
        _prior(made).denoise(X, SIGMA, Condition(TEXTS))


def test_what_is_no_controlnet_is_refused(made, tmp_path):
    def refused(controlnet, match, **options):
        with pytest.raises(GsdError, match=match) as caught:
            _prior(made, controlnet=str(controlnet), **options)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "nowhere", "no such folder; give the folder of a ControlNet")
    refused(tmp_path, "config.json is missing")
    refused(made[0] / "pipeline" / "unet", "is a UNet2DConditionModel; give a ControlNetModel")
    refused("someone/something", r"prior\.controlnet=someone/something is not on this machine.*set prior\.controlnet=")
    for name in ("injector.safetensors", "injector.ckpt"):
        (tmp_path / name).touch()
        refused(tmp_path / name, rf"single file; convert it once with gsd convert controlnet .*{name}")

    folder = tmp_path / "controlnet"
    random_controlnet(folder, made[1].unet, variant="fp16")
    (weights,) = folder.glob("*.safetensors")
    weights.rename(folder / "diffusion_pytorch_model.bin")
    refused(folder, "has only diffusion_pytorch_model.bin, a pickle")


@pytest.mark.parametrize(
    ("of_model", "of_controlnet"), [("fp16", None), (None, "fp16"), ("fp16", "bf16"), ("bf16", "bf16")]
)
def test_controlnet_and_model_may_be_of_other_variants(tmp_path, of_model, of_controlnet):
    """prior.variant is the model's; whoever follows the one refusal that is left gets a prior."""
    pipe = random_pipeline(tmp_path / "pipeline", variant=of_model)
    random_controlnet(tmp_path / "controlnet", pipe.unet, variant=of_controlnet)
    folders = {"model": str(tmp_path / "pipeline"), "controlnet": str(tmp_path / "controlnet")}
    wrong = None if of_model else "fp16"
    with pytest.raises(GsdError) as refused:
        ThreeFuse(Context(), variant=wrong, **folders)
    (advice,) = re.findall(r"set prior\.variant=(\w+)", str(refused.value))
    prior = ThreeFuse(Context(), variant=None if advice == "null" else advice, **folders)
    prior.condition_on(CLOUD)
    assert prior.predict(X, SIGMA, Condition(TEXTS, CAMERAS)).isfinite().all()


def test_a_controlnet_for_another_model_is_refused(made, tmp_path):
    import diffusers

    unet = diffusers.UNet2DConditionModel.from_config(dict(made[1].unet.config) | {"cross_attention_dim": 24})
    random_controlnet(tmp_path / "other", unet)
    with pytest.raises(GsdError, match=r"cross_attention_dim=24 and prior\.model=.* has 16; set prior\.controlnet"):
        _prior(made, controlnet=str(tmp_path / "other"))


def test_the_shipped_controlnet_is_the_packaged_folder(made, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "TINY_CONTROLNET", made[0] / "controlnet")
    assert checkpoint.locate_controlnet("tiny", "fp16") == (made[0] / "controlnet", None)
    monkeypatch.setattr(checkpoint, "TINY_CONTROLNET", tmp_path)
    with pytest.raises(GsdError, match=r"controlnet=tiny: its weights are not in .*tiny/train_controlnet\.py"):
        checkpoint.locate_controlnet("tiny")


def test_a_run_shows_it_the_points_it_starts_from(made):
    model = (f"prior.model={made[0] / 'pipeline'}", f"prior.controlnet={made[0] / 'controlnet'}")
    cfg = quick(*SMALL, "prior=threefuse", "metric=[]", *model)
    points = make(cfg.init, "init", Context(cfg.prompt), Init)(Stream(cfg.seed, "init"))
    assert torch.equal(build(cfg).prior.points, points.xyz)


def test_settings_of_controlnets_that_are_broken_are_refused(made, tmp_path):
    random_controlnet(tmp_path / "controlnet", made[1].unet)
    edit(tmp_path / "controlnet" / "config.json", _class_name=None)
    with pytest.raises(GsdError, match="is a model of another kind"):
        _prior(made, controlnet=str(tmp_path / "controlnet"))
