"""Pipelines of every family: images and gradients as diffusers' own code makes them, and what is refused."""

import itertools
import json
import logging
import shutil
from functools import partial
from typing import get_args

import pytest
import torch
from families import MAKERS, flux, random_family
from pipelines import edit, random_lora, random_pipeline, relative
from virtual_cuda import CUDA, virtual_cuda

from gsd.backend.checkpoint import OTHERS
from gsd.errors import GsdError
from gsd.guidance.parts.branches import guide
from gsd.guidance.parts.lora import Lora
from gsd.guidance.sds import SDS
from gsd.prior.families import FAMILIES, FamilyName
from gsd.prior.families.family import FAR, bias
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.prior.text_to_image import TextToImage
from gsd.protocols import Prior, ReadsTexts
from gsd.random import Stream
from gsd.types import Condition, Context, Noised

FLOWS = ("sd3", "flux", "sana")
PROMPT, SCALE = "an owl, back view", 4.0


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """family -> folder of a pipeline, and the pipeline."""
    made = {}
    for name in MAKERS:
        folder = tmp_path_factory.mktemp(name)
        made[name] = folder, random_family(name, folder)
    return made


def _prior(folder, **options):
    return TextToImage(Context(), str(folder), **{"resolution": 16, **options})


def _sampled(pipe, name, latents, steps, spacing="leading"):
    """The latents that the pipeline's own call makes, and the noise levels that it visits, in sigma space.

    spacing: of the steps of networks that are no flows.
    """
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    side = 2 * latents.shape[-1]
    options = {"prompt": PROMPT, "latents": latents, "output_type": "latent", "height": side, "width": side}
    if name in FLOWS:
        pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        options["sigmas"] = [0.9, 0.6, 0.2][:steps]
    else:
        config = {key: pipe.scheduler.config[key] for key in ("beta_start", "beta_end", "beta_schedule")}
        pipe.scheduler = DDIMScheduler(**config, clip_sample=False, timestep_spacing=spacing)
        options["num_inference_steps"] = steps
    if name == "flux":
        packed = pipe._pack_latents(latents, len(latents), 4, 8, 8)
        options |= {"latents": packed, "guidance_scale": 3.5, "true_cfg_scale": SCALE, "negative_prompt": ""}
    else:
        options["guidance_scale"] = SCALE
    if name in ("pixart", "sana"):
        options |= {"use_resolution_binning": False, "clean_caption": False}
    if name == "sana":
        options["complex_human_instruction"] = None
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        out = pipe(**options).images
    if name in FLOWS:
        t = pipe.scheduler.sigmas.double()
        sigmas = t / (1 - t)
    else:
        abar = pipe.scheduler.alphas_cumprod[pipe.scheduler.timesteps].double()
        sigmas = torch.cat([((1 - abar) / abar).sqrt(), torch.zeros(1)])
    return (pipe._unpack_latents(out, 16, 16, 2) if name == "flux" else out), sigmas


@pytest.mark.parametrize("name", MAKERS)
def test_a_guided_image_is_that_of_the_pipeline(folders, name):
    _makes_the_image_of(*folders[name], name)


def test_a_flow_that_is_not_told_a_scale(tmp_path, monkeypatch):
    """FLUX.1-schnell, whose network has no embedding of the guidance."""
    monkeypatch.setitem(MAKERS, "flux", partial(flux, guidance_embeds=False))
    pipe = random_family("flux", tmp_path)
    _makes_the_image_of(tmp_path, pipe, "flux")
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([2.0])
    one, other = (_prior(tmp_path, embedded_guidance=scale).denoise(x, sigma, Condition((PROMPT,))) for scale in (1, 9))
    assert torch.equal(one, other)


def _makes_the_image_of(folder, pipe, name):
    """The same steps in sigma space, x' = D + sigma' (x - D) / sigma, with classifier-free guidance."""
    prior = _prior(folder, embedded_guidance=3.5)
    assert isinstance(prior, Prior)
    assert isinstance(prior, ReadsTexts)
    side = 16 if name == "sana" else 8  # the least that the pipeline takes
    latents = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(1))
    expected, sigmas = _sampled(pipe, name, latents.clone(), 3)
    x = latents.double() * ((1 + sigmas[0]) if name in FLOWS else (1 + sigmas[0] ** 2).sqrt())
    for sigma, after in itertools.pairwise(sigmas):
        eps = guide(prior, x.float(), sigma.float().view(1), Condition((PROMPT,)), SCALE).eps
        x = x + (after - sigma) * eps
    assert relative(x, expected.double()) < 1e-5


@pytest.mark.parametrize("name", MAKERS)
def test_latents_and_gradients_are_those_of_the_autoencoder(folders, name):
    folder, pipe = folders[name]
    vae, rgb = pipe.vae, torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    prior, ours, theirs = _prior(folder, encode_chunk=2), rgb.clone().requires_grad_(), rgb.clone().requires_grad_()
    found = vae.encode(2 * theirs - 1)
    plain = found.latent if name == "sana" else found.latent_dist.mean
    plain = (plain - (vae.config.get("shift_factor") or 0)) * vae.config.scaling_factor
    z = prior.encode(ours)
    assert relative(z, plain) < 1e-5
    weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(3))
    (z * weights).sum().backward()
    (plain * weights).sum().backward()
    assert relative(ours.grad, theirs.grad) < 1e-5
    back = z.detach() / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0)
    assert relative(prior.decode(z.detach()), (vae.decode(back).sample / 2 + 0.5).clamp(0, 1).detach()) < 1e-5


@pytest.mark.parametrize("name", MAKERS)
def test_between_two_texts(folders, name):
    """At the ends it is one of them, however long the other is."""
    prior = _prior(folders[name][0])
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4)), torch.tensor([1.0])
    one, other = ("an owl",), ("an owl, left side view",)

    def seen(weight):
        return prior.denoise(x, sigma, Condition(one, others=other, blend=torch.tensor([weight])))

    ends = [prior.denoise(x, sigma, Condition(text)) for text in (one, other)]
    assert relative(seen(0.0), ends[0]) < 1e-5
    assert relative(seen(1.0), ends[1]) < 1e-5
    middle = seen(0.5)
    assert all(relative(middle, end) > 1e-6 for end in ends)
    assert relative(middle, (ends[0] + ends[1]) / 2) < 2 * relative(ends[0], ends[1])


@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_score_distillation_is_what_the_pipeline_predicts_less_the_noise(folders, name):
    """Of a flow v_hat - (n - z), and else (1 - abar) (eps_hat - n). One step of the pipeline's own call, with its own
    guidance, ends at the denoised latents, which say what v_hat and eps_hat are."""
    folder, pipe = folders[name]
    side = 16 if name == "sana" else 8
    z, noise = torch.randn(2, 1, 4, side, side, generator=torch.Generator().manual_seed(6)).unbind()
    if name in FLOWS:
        keep, level = 1 - 2.7 / 2.8, 2.7 / 2.8  # the level 0.9 with a shift of 3
    else:
        abar = float(pipe.scheduler.alphas_cumprod[999])
        keep, level = abar**0.5, (1 - abar) ** 0.5
    noisy = keep * z + level * noise
    denoised, sigmas = _sampled(pipe, name, noisy.clone(), 1, "trailing")
    assert float(sigmas[0]) == pytest.approx(level / keep, rel=1e-5)
    if name in FLOWS:
        weighting, expected = "velocity", (noisy - denoised) / level - (noise - z)
    else:
        weighting, expected = "one_minus_abar", level**2 * ((noisy - keep * denoised) / level - noise)
    given = Noised(z, noise, torch.tensor([level / keep]), Condition((PROMPT,)), Stream(0, "guidance"))
    score = SDS(guidance_scale=SCALE, weighting=weighting)(_prior(folder), given)
    assert relative(score.gradient, expected) < 1e-4


@pytest.mark.parametrize("name", FLOWS)
@torch.no_grad()
def test_view_guidance_of_a_flow(folders, name):
    """Three times what its predictions of the noise differ by, whatever the network predicts."""
    prior, side = _prior(folders[name][0]), 16 if name == "sana" else 8
    z, noise = torch.randn(2, 1, 4, side, side, generator=torch.Generator().manual_seed(7)).unbind()
    sigma, behind = torch.tensor([4.0]), Condition(("a corgi",))
    given = Noised(z, noise, sigma, Condition((PROMPT,), opposite=behind), Stream(0, "guidance"))
    led, unled = (SDS(guidance_scale=SCALE, view_scale=s, weighting="uniform")(prior, given).gradient for s in (3, 0))
    eps, eps_behind = (
        (given.x - prior.denoise(given.x, sigma, each)) / sigma for each in (Condition((PROMPT,)), behind)
    )
    assert relative(led - unled, 3 * (eps - eps_behind)) < 1e-4


def test_a_token_without_weight_is_not_seen():
    assert bias(torch.tensor([[1.0, 0.5, 0.0]])).tolist() == [[pytest.approx([0.0, -0.6931472, FAR])]]


def test_states_are_encoded_once(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path))
    prior = _prior(folders["sd3"][0])
    prior.prepare(["an owl", "a cat"])
    states = prior.states(("", "an owl", "a cat"))
    again = _prior(folders["sd3"][0])
    monkeypatch.setattr(again.states, "encode", None)
    assert all(torch.equal(value, states[key]) for key, value in again.states(("", "an owl", "a cat")).items())


def test_what_decides_on_states_keeps_them_apart(folders, tmp_path, monkeypatch):
    """model_index.json alone says what an empty text is."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(folders["sdxl"][0], tmp_path / "sdxl")
    assert not _prior(folder).states(("",))["text"].any()
    edit(folder / "model_index.json", force_zeros_for_empty_prompt=False)
    assert _prior(folder).states(("",))["text"].any()


@pytest.mark.parametrize("option", ["device", "cpu"])
def test_states_are_kept_apart_by_place_and_precision(folders, option):
    """bf16 on a GPU, fp32 where texts are encoded on the CPU."""
    folder = str(folders["sd3"][0])
    here = _prior(folder).states.fingerprint
    with virtual_cuda():
        there = TextToImage(Context(device=CUDA), folder, resolution=16, text_encoder=option).states.fingerprint
        half = TextToImage(Context(device=CUDA), folder, resolution=16, text_encoder=option, dtype="fp16")
    assert (there == here) == (option == "cpu")
    assert (half.states.fingerprint == there) == (option == "cpu")


def test_stable_diffusion_3_without_t5(folders, tmp_path, monkeypatch):
    """As diffusers saves it, with nulls in model_index.json, and without the entries; never another's states."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    whole, pipe = folders["sd3"]
    expected = _prior(whole).states((PROMPT,))
    folder, without = tmp_path / "without", {"text_encoder_3": None, "tokenizer_3": None}
    small = type(pipe)(**pipe.components | without)
    small.save_pretrained(folder)
    assert json.loads((folder / "model_index.json").read_text())["text_encoder_3"] == [None, None]
    text, _, pooled, _ = small.encode_prompt(PROMPT, None, None, device="cpu", do_classifier_free_guidance=False)
    for _ in range(2):
        states = _prior(folder).states((PROMPT,))
        assert relative(states["text"], text) < 1e-6
        assert relative(states["pooled"], pooled) < 1e-6
        assert states["text"].shape != expected["text"].shape or relative(states["text"], expected["text"]) > 0.1
        edit(folder / "model_index.json", **without)  # removes them
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([2.0])
    assert torch.isfinite(_prior(folder).denoise(x, sigma, Condition((PROMPT,)))).all()


@pytest.mark.parametrize("kohya", [False, True])
def test_a_lora_that_was_trained_with_the_text_encoders(folders, kohya, tmp_path, caplog):
    """Its weights for the network are taken, as from a file without the others."""
    from diffusers.utils import convert_state_dict_to_kohya
    from peft import LoraConfig, get_peft_model_state_dict
    from safetensors.torch import load_file, save_file

    folder, pipe = folders["sdxl"]
    trained = random_family("sdxl", tmp_path / "trained")
    layers = {}
    for name, targets in (("unet", ["to_q"]), ("text_encoder", ["q_proj"]), ("text_encoder_2", ["q_proj"])):
        part = trained.components[name]
        part.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=targets))
        layers[f"{name}_lora_layers"] = get_peft_model_state_dict(part)
    type(pipe).save_lora_weights(tmp_path, **layers)
    (file,) = tmp_path.glob("*.safetensors")
    weights = {key: value.contiguous() for key, value in load_file(file).items()}
    of_texts = {key: value for key, value in weights.items() if key.startswith("text_encoder")}
    alone = {key: value for key, value in weights.items() if key not in of_texts}
    assert of_texts
    assert alone
    if kohya:
        of_texts = convert_state_dict_to_kohya(of_texts)
        assert all(key.startswith("lora_te") for key in of_texts)
    save_file(of_texts | alone, tmp_path / "both.safetensors")
    save_file(of_texts, tmp_path / "texts.safetensors")
    save_file(alone, tmp_path / "alone.safetensors")
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([2.0])

    def seen(*names):
        lora = [str(tmp_path / f"{name}.safetensors") for name in names]
        return _prior(folder, lora=lora).denoise(x, sigma, Condition((PROMPT,)))

    expected = seen("alone")
    assert not [record for record in caplog.records if record.name == "gsd"]
    with caplog.at_level(logging.WARNING, logger="gsd"):
        assert torch.equal(seen("both"), expected)
    assert "both.safetensors changes the text encoders too" in caplog.text
    assert relative(expected, seen()) > 1e-4
    with pytest.raises(GsdError, match=r"texts.safetensors has weights for text encoders alone; give a LoRA for the n"):
        seen("texts")


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", "sana"])
def test_lora_files_of_the_user_are_added(folders, name, tmp_path):
    """As the pipeline's own loader applies them, both at once."""
    folder, pipe = folders[name]
    kind = "unet" if name == "sdxl" else "transformer"
    files = {adapter: tmp_path / f"{adapter}.safetensors" for adapter in ("one", "other")}
    for seed, file in enumerate(files.values()):
        random_lora(file, pipe.components[kind], kind, seed)
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([2.0])

    def seen(prior):
        return prior.denoise(x, sigma, Condition((PROMPT,)))

    plain, single, both = (_prior(folder, lora=[*map(str, list(files.values())[:n])]) for n in range(3))
    before, one, after = map(seen, (plain, single, both))
    assert relative(one, before) > 1e-4
    assert relative(after, one) > 1e-4
    theirs = type(pipe)(**pipe.components | {kind: plain.network})
    for adapter, file in files.items():
        theirs.load_lora_weights(str(file), adapter_name=adapter)
    theirs.set_adapters(list(files))
    assert relative(after, seen(plain)) < 1e-5


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        (
            lambda folder: edit(folder / "model_index.json", _class_name="KolorsPipeline"),
            {},
            "KolorsPipeline; gsd knows",
        ),
        (
            lambda folder: edit(folder / "model_index.json", text_encoder=["mine", "Encoder"]),
            {},
            "code that gsd does not",
        ),
        (lambda folder: shutil.rmtree(folder / "text_encoder_2"), {}, "text_encoder_2/config.json is missing"),
        (lambda folder: shutil.rmtree(folder / "tokenizer_2"), {}, "tokenizer_2/ is missing or empty"),
        (lambda folder: None, {"variant": "fp16"}, "has no variant fp16"),
        (lambda folder: None, {"resolution": 17}, "resolution=17: .* multiple of 4, such as 16"),
        (lambda folder: None, {"dtype": "bf16"}, "needs a GPU"),
        (lambda folder: None, {"lora": ["a.bin"]}, "not a .safetensors file"),
        (lambda folder: None, {"lora": ["a.safetensors"]}, "no such file"),
        (lambda folder: edit(folder / "scheduler/scheduler_config.json", prediction_type="x"), {}, "predicts 'x'"),
    ],
)
def test_refusals(folders, tmp_path, change, options, match):
    folder = shutil.copytree(folders["sdxl"][0], tmp_path / "spoilt")
    change(folder)
    with pytest.raises(GsdError, match=match) as refused:
        _prior(folder, **options)
    assert "\n" not in str(refused.value)


def _named(**entries):
    """What changes model_index.json."""
    return lambda folder: edit(folder / "model_index.json", **entries)


def _scheduled(**entries):
    return lambda folder: edit(folder / "scheduler" / "scheduler_config.json", **entries)


def _in_half(folder):
    """The network alone is there in half precision alone."""
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".fp16.safetensors"))


OTHER_CLASS = r"transformer is a FluxTransformer2DModel, that of a StableDiffusion3Pipeline is a SD3Transformer2DModel"
COMMON = r"no variant of weights in common \(transformer/ has fp16, vae/ has null, .*; get or rename files"
BEFORE = {  # family, what is done to its folder, options, sentence
    "no encoder": ("pixart", _named(text_encoder=[None, None]), {}, "names no text_encoder, which a PixArtSigmaPi"),
    "no second encoder": ("flux", _named(text_encoder_2=None), {}, "names no text_encoder_2, which a FluxPipeline"),
    "no tokenizer": ("sana", _named(tokenizer=[None, None]), {}, "names no tokenizer, .* copy the whole pipeline"),
    "T5 alone": ("sd3", _named(tokenizer_3=[None, None]), {}, "names no tokenizer_3, which a StableDiffusion3"),
    "no vae": ("flux", _named(vae=None), {}, "names no vae, which a FluxPipeline needs"),
    "no network": ("sdxl", _named(unet=[None, None]), {}, "names no unet, which a StableDiffusionXLPipeline needs"),
    "no scheduler": ("sd3", _named(scheduler=None), {}, "names no scheduler, which a StableDiffusion3Pipeline"),
    "half an entry": ("sd3", _named(vae=["diffusers"]), {}, r"says vae: \['diffusers'\] and should say \[LIBRARY, CL"),
    "no entry": ("sd3", _named(vae="diffusers"), {}, "says vae: 'diffusers' and should say"),
    "unknown class": ("sd3", _named(vae=["diffusers", "AutoencoderFoo"]), {}, "AutoencoderFoo, which diffusers .* new"),
    "no class": ("sd3", _named(text_encoder=["transformers", "os"]), {}, "os, which transformers .* does not have"),
    "other json": (
        "sd3",
        lambda folder: (folder / "scheduler/scheduler_config.json").rename(folder / "scheduler/other.json"),
        {},
        "scheduler/scheduler_config.json is missing",
    ),
    "family with a UNet": ("sd3", None, {"family": "StableDiffusionXLPipeline"}, "names no unet, .*prior.family=null"),
    "other family": ("flux", None, {"family": "StableDiffusion3Pipeline"}, OTHER_CLASS),
    "other network": ("sd3", _named(_class_name="FluxPipeline"), {}, "a SD3Transformer2DModel, that of a FluxPipeline"),
    "EDM": ("sdxl", _scheduled(_class_name="EDMEulerScheduler"), {}, "noise schedule, that of EDMEulerScheduler; use"),
    "variants of none": ("sd3", _in_half, {}, COMMON),
    "variants of half": ("sd3", _in_half, {"variant": "fp16"}, COMMON),
}


@pytest.mark.parametrize("case", BEFORE)
def test_what_small_files_tell_is_refused_before_anything_is_loaded(folders, case, tmp_path, monkeypatch):
    name, change, options, sentence = BEFORE[case]
    folder = shutil.copytree(folders[name][0], tmp_path / "spoilt")
    if change:
        change(folder)
    monkeypatch.setattr(TextToImage, "_load", None)
    with pytest.raises(GsdError, match=sentence) as refused:
        _prior(folder, **options)
    assert "\n" not in str(refused.value)


def test_a_lora_of_a_family_that_takes_none_is_refused_before_anything_is_loaded(folders, tmp_path, monkeypatch):
    random_lora(file := tmp_path / "lora.safetensors", folders["sdxl"][1].unet)
    monkeypatch.setattr(TextToImage, "_load", None)
    with pytest.raises(GsdError, match=r"a PixArtSigmaPipeline of diffusers takes no LoRA; set prior.lora=null"):
        _prior(folders["pixart"][0], lora=[str(file)])


def test_sizes_are_those_of_the_network(folders):
    """Sana has one latent to a token, here of 2 pixels; SD3 has 16 x 16 places for tokens of 2 x 2 latents."""
    assert _prior(folders["sana"][0], resolution=18).resolution == 18
    assert _prior(folders["sd3"][0], resolution=64).resolution == 64
    with pytest.raises(GsdError, match=r"resolution=68: .*sd3.* takes at most 64; set prior.resolution=64"):
        _prior(folders["sd3"][0], resolution=68)
    with pytest.raises(GsdError, match="multiple of 4, such as 16"):
        _prior(folders["flux"][0], resolution=18)


@pytest.mark.parametrize("name", MAKERS)
def test_prior_stable_diffusion_names_the_prior_of_another_family(folders, name):
    kind = type(folders[name][1]).__name__
    with pytest.raises(GsdError, match=rf"is a {kind}; .* and prior={name} reads this one"):
        StableDiffusion(Context(), str(folders[name][0]))


def test_every_family_has_a_prior():
    assert tuple(FAMILIES) == get_args(FamilyName) == tuple(OTHERS)
    assert set(OTHERS.values()) == set(MAKERS)


def test_stable_diffusion_has_a_prior_of_its_own(tmp_path):
    random_pipeline(tmp_path)
    with pytest.raises(GsdError, match="use prior=stable_diffusion"):
        _prior(tmp_path)


def test_a_family_is_set_for_a_class_of_another_name(folders, tmp_path):
    folder = shutil.copytree(folders["sdxl"][0], tmp_path / "named")
    edit(folder / "model_index.json", _class_name="MyPipeline")
    assert _prior(folder, family="StableDiffusionXLPipeline").pipeline.kind == "StableDiffusionXLPipeline"
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == "MyPipeline"


@pytest.mark.parametrize("name", ["sd3", "flux", "pixart", "sana"])
def test_text_encoders_in_8_bit_say_nearly_the_same(folders, name, tmp_path, monkeypatch):
    pytest.importorskip("torchao")
    monkeypatch.setenv("GSD_CACHE", str(tmp_path))
    folder, texts = folders[name][0], ("an owl", "a cat, back view")
    plain, small = (_prior(folder, text_encoder_bits=bits).states(texts)["text"] for bits in (None, 8))
    assert 1e-4 < relative(small, plain) < 0.05  # rounded, and not read from the cache of the other
    assert len(list(tmp_path.glob("embeddings/*"))) == 4
    assert torch.equal(_prior(folder, text_encoder_bits=8).states(texts)["text"], small)


def test_8_bit_is_refused_where_it_is_for_nothing_or_torchao_is_missing(folders, monkeypatch):
    with pytest.raises(GsdError, match=r"StableDiffusionXLPipeline has neither; set prior.text_encoder_bits=null"):
        _prior(folders["sdxl"][0], text_encoder_bits=8)
    monkeypatch.setattr("gsd.prior.parts.quantized.find_spec", lambda name: None)
    with pytest.raises(GsdError, match=r"needs the package torchao.* pip install torchao, or set prior.text_encoder=c"):
        _prior(folders["sd3"][0], text_encoder_bits=8)


def test_a_lora_of_the_user_stays_beside_that_of_vsd(folders, tmp_path):
    folder, pipe = folders["sd3"]
    random_lora(file := tmp_path / "lora.safetensors", pipe.transformer, "transformer")
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([2.0])

    def seen():
        return prior.denoise(x, sigma, Condition((PROMPT,)))

    prior = _prior(folder, lora=[str(file)])
    before = seen()
    lora = Lora(prior, 2, False, Stream(0, "lora"))
    assert torch.equal(seen(), before)
    with lora.on():
        assert relative(seen(), before) < 1e-6  # its second matrices are 0
        for name, parameter in lora.params.items():
            assert ".vsd." in name
            parameter.data.normal_()
        assert relative(seen(), before) > 1e-3
    assert torch.equal(seen(), before)
