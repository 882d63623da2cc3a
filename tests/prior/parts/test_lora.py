"""LoRA files of the user on UNets of Stable Diffusion: what diffusers makes of them, beside whatever else changes the
network, and files that are refused. Those of other families: tests/prior/test_text_to_image.py."""

import json
import logging

import pytest
import torch
from families import random_family
from launch import SMALL, launch, records
from pipelines import random_controlnet, random_lora, random_multiview, random_pipeline, relative
from quick_config import quick
from safetensors.torch import load_file, save_file

from gsd.backend.adapters import adapted
from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.guidance.sds import SDS
from gsd.guidance.vsd import VSD
from gsd.identity import identity
from gsd.prior.mvdream import MVDream
from gsd.prior.parts.lora import merge_lora
from gsd.prior.parts.semantic_code import SemanticCode, save
from gsd.prior.parts.semantic_training import Training, learn
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.prior.threefuse import ThreeFuse
from gsd.random import Stream
from gsd.types import Condition, Context, Noised, PointCloud

TEXT = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"
CAMERAS = turntable(4, 16)
X = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
SIGMA = torch.full((4,), 2.0)
CONDITION = Condition(("an owl",) * 4, CAMERAS)
EVERYWHERE = ("to_q", "to_v", "to_out.0", "ff.net.0.proj", "conv1", "proj_in")  # convolutions too, as in kohya's LoCon


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a pipeline, of one that knows cameras, of a ControlNet, and of two LoRA files for all their UNets."""
    folder = tmp_path_factory.mktemp("lora")
    pipe = random_pipeline(folder / "plain")
    random_multiview(folder / "multiview")
    random_controlnet(folder / "controlnet", pipe.unet)
    for seed, name in enumerate(("one", "other")):
        random_lora(folder / f"{name}.safetensors", pipe.unet, seed=seed, targets=EVERYWHERE)
    return folder


def _prior(folder, kind=StableDiffusion, *names, **options):
    """Of a class, with files of these names."""
    files = [str(folder / f"{name}.safetensors") for name in names]
    options.setdefault("model", str(folder / ("multiview" if kind is MVDream else "plain")))
    if kind is not ThreeFuse:
        return kind(Context("an owl"), lora=files, **options)
    prior = kind(Context("an owl"), lora=files, controlnet=str(folder / "controlnet"), **options)
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    prior.condition_on(PointCloud(0.3 * points, torch.ones(50, 3)))
    return prior


def _seen(prior):
    return prior.denoise(X, SIGMA, CONDITION)


def _pipeline(unet):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    others = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    return StableDiffusionPipeline(unet=unet, scheduler=DDIMScheduler(), **others, requires_safety_checker=False)


@pytest.mark.parametrize("kind", [StableDiffusion, MVDream, ThreeFuse])
def test_files_are_added_as_diffusers_loads_them(folder, kind):
    """Both at once, as adapters on the network of a prior without."""
    names = ("one", "other")
    plain, single, both = (_prior(folder, kind, *names[:n]) for n in range(3))
    before, one, after = map(_seen, (plain, single, both))
    assert relative(one, before) > 1e-2
    assert relative(after, one) > 1e-2
    pipe = _pipeline(plain.network)
    for name in names:
        pipe.load_lora_weights(str(folder / f"{name}.safetensors"), adapter_name=name)
    pipe.set_adapters("one")
    assert relative(one, _seen(plain)) < 1e-5
    pipe.set_adapters(list(names))
    assert relative(after, _seen(plain)) < 1e-5


def _kohya(weights):
    """With a strength of a half in its alphas."""
    from diffusers.utils import convert_state_dict_to_kohya

    found = convert_state_dict_to_kohya(weights)
    return {key: value / 2 if key.endswith(".alpha") else value.contiguous() for key, value in found.items()}


def _as_of_old(weights):
    """Diffusers' names before it had peft."""
    return {key.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): value for key, value in weights.items()}


@pytest.mark.parametrize(("layout", "strength"), [(_kohya, 0.5), (_as_of_old, 1.0)])
def test_layouts(folder, layout, strength, tmp_path):
    """W + strength up down, as from peft's names, and as diffusers reads the same file."""
    plain, merged = _prior(folder), _prior(folder, StableDiffusion, "one")
    weights = layout(load_file(folder / "one.safetensors"))
    save_file(weights, tmp_path / "layout.safetensors")
    prior = _prior(tmp_path, StableDiffusion, "layout", model=str(folder / "plain"))
    ours, before, whole = (each.network.state_dict() for each in (prior, plain, merged))
    assert all(torch.allclose(ours[k], torch.lerp(before[k], whole[k], strength), atol=1e-6) for k in ours)
    _pipeline(plain.network).load_lora_weights(str(tmp_path / "layout.safetensors"))
    assert relative(_seen(prior), _seen(plain)) < 1e-5


def test_alpha_in_the_header(folder, tmp_path):
    """As diffusers' training scripts write it, also where weights for the text encoder are left out."""
    weights = load_file(folder / "one.safetensors")
    settings = {"r": 2, "lora_alpha": 8, "target_modules": list(EVERYWHERE)}
    header = {"lora_adapter_metadata": json.dumps({f"unet.{name}": value for name, value in settings.items()})}
    save_file(weights, tmp_path / "scaled.safetensors", header)
    save_file(weights | {TEXT: torch.ones(2, 16)}, tmp_path / "both.safetensors", header)
    plain = _prior(folder)
    _pipeline(plain.network).load_lora_weights(str(tmp_path / "scaled.safetensors"))
    for name in ("scaled", "both"):
        ours = _seen(_prior(tmp_path, StableDiffusion, name, model=str(folder / "plain")))
        assert relative(ours, _seen(plain)) < 1e-5
        assert relative(ours, _seen(_prior(folder, StableDiffusion, "one"))) > 1e-2


def test_the_network_stays_a_plain_one(folder):
    """Nothing for torch.compile to meet, nothing to learn, and the layout in memory that was asked for."""
    plain, prior = (_prior(folder, StableDiffusion, *names, channels_last=True) for names in ((), ("one",)))
    assert not adapted(prior.network)
    assert prior.network.state_dict().keys() == plain.network.state_dict().keys()
    assert not any(p.requires_grad for p in prior.network.parameters())
    convolution = prior.network.down_blocks[0].resnets[0].conv1.weight
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    assert relative(_seen(prior), _seen(_prior(folder, StableDiffusion, "one"))) < 1e-5


def test_in_half_precision_weights_are_rounded_like_those_of_a_merged_checkpoint(folder):
    network = _prior(folder).network.half()
    merge_lora(_pipeline(network), network, [folder / "one.safetensors"])
    expected = _prior(folder, StableDiffusion, "one").network
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        assert ours.dtype == torch.float16
        assert (ours.float() - theirs).norm() <= 2e-3 * theirs.norm()


def test_beside_a_semantic_code(folder, tmp_path):
    """Both are added to one layer, and learning a code leaves the user's LoRA where it is."""
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = torch.randn(2, 16), torch.randn(16, 2)
    save(tmp_path / "code.safetensors", "owl", torch.zeros(16), {f"{layer}.down": down, f"{layer}.up": up})
    prior = _prior(folder, StableDiffusion, "one", semantic_code=SemanticCode(file=str(tmp_path / "code.safetensors")))
    alone = _prior(folder, StableDiffusion, "one")
    ours, theirs = (each.network.get_parameter(f"{layer}.weight").clone() for each in (prior, alone))
    assert torch.allclose(ours, theirs + 0.3 * up @ down, atol=1e-6)
    learn(alone, X, CONDITION.texts, "owl", Training(token_steps=1, lora_steps=1), Stream(0, "learn"))
    assert torch.equal(alone.network.get_parameter(f"{layer}.weight"), theirs)


@pytest.mark.parametrize("kind", [StableDiffusion, MVDream, ThreeFuse])
def test_vsd_learns_beside_it(folder, kind):
    """What guides stays the network with the user's LoRA, and from it the LoRA of VSD starts."""
    prior = _prior(folder, kind, "one")
    before = _seen(prior)
    guidance = VSD(Context("an owl"), camera=False, guidance_scale=1.0, lr=1e-2)
    guidance.attach(prior, Stream(0, "guidance"))
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(1))
    for step in range(2):
        given = Noised(X, noise, SIGMA, CONDITION, Stream(0, "guidance", step))
        score = guidance(prior, given)
        assert torch.equal(_seen(prior), before)
        assert relative(score.eps, SDS(1.0)(prior, given).eps) < 1e-6
        assert bool(score.gradient.abs().max() > 1e-4) == (step > 0)


def test_weights_for_the_text_encoder_are_left_out_with_a_warning(folder, tmp_path, caplog):
    weights = load_file(folder / "one.safetensors")
    save_file(weights | {TEXT: torch.ones(2, 16)}, tmp_path / "both.safetensors")
    with caplog.at_level(logging.WARNING, logger="gsd"):
        alone = _seen(_prior(folder, StableDiffusion, "one"))
        assert not caplog.records
        assert torch.equal(_seen(_prior(tmp_path, StableDiffusion, "both", model=str(folder / "plain"))), alone)
    assert "both.safetensors changes the text encoders too" in caplog.text


def _text_encoder_alone(weights):
    return {key.replace("unet.", "text_encoder."): value for key, value in weights.items()}


UNREAD = {  # what is told before any weights are read: content of a file, sentence
    "damaged": (b"version https", "cannot be read .*; copy it again"),
    "no LoRA": ({"embedding": torch.ones(2)}, "holds no LoRA; give LoRA weights for the network"),
    "texts": (_text_encoder_alone, "weights for text encoders alone; give a LoRA for the network"),
    "DoRA": (lambda w: w | {"lora_unet_a.dora_scale": torch.ones(2)}, "is a DoRA in kohya's layout"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_what_a_header_tells_is_refused_before_anything_is_loaded(folder, case, tmp_path, monkeypatch):
    monkeypatch.setattr(StableDiffusion, "_load", None)
    content, sentence = UNREAD[case]
    _written(tmp_path / "bad.safetensors", content, folder)
    _refused(tmp_path, folder, sentence)


def test_files_that_are_not_there_or_pickled(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(StableDiffusion, "_load", None)
    _refused(tmp_path, folder, "no such file")
    (tmp_path / "bad.ckpt").touch()
    with pytest.raises(GsdError, match=r"bad.ckpt: not a .safetensors file; give LoRA weights for the network"):
        StableDiffusion(Context(), str(folder / "plain"), lora=[str(tmp_path / "bad.ckpt")])


MISFITS = {
    "another family": (lambda w: {k.replace("unet.", "transformer."): v for k, v in w.items()}, "another network"),
    "a layer too many": (
        lambda w: w | {k.replace("attn1", "attn7"): v.clone() for k, v in w.items()},
        "another network",
    ),
    "half a layer": (lambda w: dict(list(w.items())[1:]), "of which a half is missing; copy it again"),
    "not finite": (lambda w: {k: v * torch.inf for k, v in w.items()}, "not finite; copy it again"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_weights_that_do_not_fit_are_refused(folder, case, tmp_path):
    content, sentence = MISFITS[case]
    _written(tmp_path / "bad.safetensors", content, folder)
    _refused(tmp_path, folder, sentence)


def test_a_lora_of_sdxl_is_refused_in_one_sentence(folder, tmp_path, capfd):
    random_lora(tmp_path / "bad.safetensors", random_family("sdxl", tmp_path / "sdxl").unet)
    capfd.readouterr()
    _refused(tmp_path, folder, r"another network; give a LoRA that was trained for this StableDiffusionPipeline\.")
    assert "size mismatch" not in capfd.readouterr().err


def _written(file, content, folder):
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        save_file(content(load_file(folder / "one.safetensors")) if callable(content) else content, file)


def _refused(here, folder, sentence):
    with pytest.raises(GsdError, match=sentence) as refused:
        _prior(here, StableDiffusion, "bad", model=str(folder / "plain"))
    assert "\n" not in str(refused.value)
    assert "bad.safetensors" in str(refused.value)


def test_a_run_is_told_apart_by_the_content_of_its_files(tmp_path):
    network, file = StableDiffusion(Context(), "tiny").network, tmp_path / "mine.safetensors"
    small = (*SMALL, "prompt=a corgi", "prior=tiny", "metric=none", "steps=2", "turntable.views=2")
    with_lora, signatures = (*small, f"prior.lora=[{file}]"), {identity(quick(*small)).signature}
    for seed in range(2):
        random_lora(file, network, seed=seed)
        signatures.add(identity(quick(*with_lora)).signature)
    assert len(signatures) == 3
    launch(tmp_path / "with", *with_lora)
    launch(tmp_path / "without", *small)
    one, other = (records(tmp_path / name)[0] for name in ("with", "without"))
    assert one["render/rgb"] == other["render/rgb"]
    assert one["score/gradient_rms"] != other["score/gradient_rms"]
