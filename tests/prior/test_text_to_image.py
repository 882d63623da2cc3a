"""Pipelines of every family: images and gradients as diffusers' own code makes them, and what is refused."""

import itertools
import json
import shutil

import pytest
import torch
from families import MAKERS, random_family
from pipelines import edit, random_pipeline, relative

from gsd.errors import GsdError
from gsd.guidance.parts.branches import guide
from gsd.guidance.parts.lora import Lora
from gsd.guidance.sds import SDS
from gsd.prior.families.family import FAR, bias
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


def _sampled(pipe, name, latents, steps):
    """The latents that the pipeline's own call makes, and the noise levels that it visits, in sigma space."""
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    side = 2 * latents.shape[-1]
    options = {"prompt": PROMPT, "latents": latents, "output_type": "latent", "height": side, "width": side}
    if name in FLOWS:
        pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        options["sigmas"] = [0.9, 0.6, 0.2]
    else:
        config = {key: pipe.scheduler.config[key] for key in ("beta_start", "beta_end", "beta_schedule")}
        pipe.scheduler = DDIMScheduler(**config, clip_sample=False)
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
    """The same steps in sigma space, x' = D + sigma' (x - D) / sigma, with classifier-free guidance."""
    folder, pipe = folders[name]
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


@torch.no_grad()
def test_score_distillation_of_a_flow_is_a_difference_of_velocities(folders):
    """v_hat - (n - z), with v_hat from plain calls of the transformer at x_t = (1 - t) z + t n."""
    folder, pipe = folders["sd3"]
    z, noise = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(6)).unbind()
    t = torch.tensor([0.3, 0.9])
    noisy = (1 - t)[:, None, None, None] * z + t[:, None, None, None] * noise
    text, empty, pooled, empty_pooled = pipe.encode_prompt([PROMPT] * 2, None, None, device="cpu")
    velocity, away = (
        pipe.transformer(noisy, states, pool, 1000 * t).sample
        for states, pool in ((text, pooled), (empty, empty_pooled))
    )
    expected = away + SCALE * (velocity - away) - (noise - z)
    given = Noised(z, noise, t / (1 - t), Condition((PROMPT,) * 2), Stream(0, "guidance"))
    score = SDS(guidance_scale=SCALE, weighting="velocity")(_prior(folder), given)
    assert relative(score.gradient, expected) < 1e-5


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


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", "sana"])
def test_lora_of_the_user(folders, name, tmp_path):
    """As the pipeline's own loader applies it."""
    from peft import LoraConfig, get_peft_model_state_dict

    folder, pipe = folders[name]
    kind = "unet" if name == "sdxl" else "transformer"
    network = random_family(name, tmp_path / "trained").components[kind]
    network.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    type(pipe).save_lora_weights(tmp_path, **{f"{kind}_lora_layers": get_peft_model_state_dict(network)})
    (file,) = tmp_path.glob("*.safetensors")
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([2.0])
    plain, adapted = _prior(folder), _prior(folder, lora=[str(file)])
    before, after = (each.denoise(x, sigma, Condition((PROMPT,))) for each in (plain, adapted))
    assert relative(after, before) > 1e-4
    plain.network = network.eval()
    assert relative(after, plain.denoise(x, sigma, Condition((PROMPT,)))) < 1e-5


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


def test_stable_diffusion_has_a_prior_of_its_own(tmp_path):
    random_pipeline(tmp_path)
    with pytest.raises(GsdError, match="use prior=stable_diffusion"):
        _prior(tmp_path)


def test_a_family_is_set_for_a_class_of_another_name(folders, tmp_path):
    folder = shutil.copytree(folders["sdxl"][0], tmp_path / "named")
    edit(folder / "model_index.json", _class_name="MyPipeline")
    assert _prior(folder, family="StableDiffusionXLPipeline").kind == "StableDiffusionXLPipeline"
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
    from peft import LoraConfig, get_peft_model_state_dict

    folder, pipe = folders["sd3"]
    network = random_family("sd3", tmp_path / "trained").components["transformer"]
    network.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    type(pipe).save_lora_weights(tmp_path, transformer_lora_layers=get_peft_model_state_dict(network))
    (file,) = tmp_path.glob("*.safetensors")
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
