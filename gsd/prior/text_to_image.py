"""Stable Diffusion XL, 3 and 3.5, FLUX, PixArt-Sigma and Sana: any text-to-image pipeline of a known family."""

from __future__ import annotations

import gc
import hashlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from gsd.backend.checkpoint import loading
from gsd.backend.digests import digests
from gsd.backend.pipeline_folder import Pipeline, locate_pipeline
from gsd.errors import GsdError
from gsd.prior.families import FAMILIES, FamilyName
from gsd.prior.families.family import States
from gsd.prior.parts.autoencoder import Autoencoder, resolution_of
from gsd.prior.parts.latent import Latent, fits, number_type
from gsd.prior.parts.lora import lora_files, merge_lora
from gsd.prior.parts.noise_schedule import NoiseSchedule, schedule_in
from gsd.prior.parts.quantized import in_8_bit, quantized_encoders
from gsd.prior.parts.text_states import TextStates
from gsd.ranges import Few, Fraction, Pixels, Strength
from gsd.types import Condition, Context


class Found(NamedTuple):
    """What is known of a pipeline before its weights are read."""

    dtype: torch.dtype
    lora: list[Path]
    pipeline: Pipeline
    quantized: list[str]
    schedule: NoiseSchedule


class TextToImage(Latent):
    """A pipeline of diffusers in sigma space, x = z + sigma n.

    What its network was trained on, a variance-preserving schedule or a rectified flow, comes from its scheduler
    (`gsd.prior.parts.noise_schedule`); how it is conditioned from its family (`gsd.prior.families`). Texts are encoded
    by the pipeline's own code, once, and kept in the cache; then the text encoders are freed.

    model            folder in the layout of diffusers, or hub id
    family           null: what model_index.json says
    resolution       pixels the render is resized to; null: what the model was trained at
    dtype            of the network: fp16 | bf16 | fp32; auto: bf16 on a GPU, fp32 on a CPU. An autoencoder whose config
                     forces it up stays in fp32
    text_encoder     device | cpu: where the text encoders run, the largest of which have billions of parameters
    text_encoder_bits  8: the weights of T5 or Gemma are read into 8-bit integers by the package torchao, a half of the
                     memory of fp16 and a quarter of that of a CPU's fp32; null: as they are
    lora             files of LoRA weights (.safetensors), which are merged into the network; what they have for text
                     encoders is left out
    embedded_guidance  scale that a guidance-distilled network (FLUX.1-dev) is asked to imitate; others ignore it
    encode_chunk     images encoded at a time; with more, activations are recomputed in the backward pass
    guidance_scale   of guidances without a number of their own
    random_background  fraction of training steps in which scenes lie over a random colour

    With a flow, guidance.weighting=velocity and sigma=flow are score distillation as its authors write it.
    Raises GsdError for a pipeline that is missing, incomplete, of another kind or pickled, for sizes that the network
    cannot take, for half precision on a CPU, and when the GPU's memory is too small.
    """

    def __init__(
        self,
        context: Context,
        model: str,
        family: FamilyName | None = None,
        variant: str | None = None,
        resolution: Pixels | None = None,
        dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto",
        text_encoder: Literal["device", "cpu"] = "device",
        lora: list[str] | None = None,
        embedded_guidance: Annotated[float, Interval(ge=0, le=100)] = 3.5,
        encode_chunk: Few = 4,
        guidance_scale: Strength | None = None,
        random_background: Fraction = 0.5,
        text_encoder_bits: Literal[8] | None = None,
    ) -> None:
        self.device, self.variant = context.device, variant
        found = self.find(context, model, family, variant, dtype, lora, text_encoder_bits)
        self.dtype, self.pipeline, self.quantized = found.dtype, found.pipeline, found.quantized
        self.schedule = found.schedule.to(self.device)
        self.family = FAMILIES[found.pipeline.kind]
        self.network = self._load(self.family.network, self.dtype)
        if found.lora:
            unneeded = (part for part in self.pipeline.parts if part.startswith(("text_encoder", "tokenizer")))
            merge_lora(self._pipeline(self.dtype, *unneeded), self.network, found.lora)
        vae = self._load("vae", self.dtype)
        if vae.config.get("force_upcast"):
            vae = vae.float()
        size, patch = self.family.sample_size, self.family.patch
        self.resolution = resolution_of(self.network.config, vae.config, resolution, model, size, patch)
        self.autoencoder = Autoencoder(vae, self.resolution, encode_chunk)
        self.guidance_scale, self.random_background = guidance_scale, random_background
        self.options = {"resolution": self.resolution, "embedded_guidance": embedded_guidance}
        where = self.device if text_encoder == "device" else torch.device("cpu")
        self.states = TextStates(self._fingerprint(where), self.device, lambda texts: self._encode(texts, where))

    @classmethod
    def find(
        cls,
        context: Context,
        model: str,
        family: FamilyName | None,
        variant: str | None,
        dtype: str,
        lora: list[str] | None,
        text_encoder_bits: int | None,
        **others: Any,
    ) -> Found:
        """What is read before any weights are; `others` are the options that decide on nothing of it."""
        auto = "bf16" if dtype == "auto" and context.device.type == "cuda" else dtype
        number, files = number_type(auto, context.device), lora_files(lora)
        pipeline = locate_pipeline(model, variant, FAMILIES, family)
        quantized = quantized_encoders(pipeline) if text_encoder_bits else []
        if files:
            import diffusers

            if not hasattr(getattr(diffusers, pipeline.kind), "load_lora_weights"):
                raise GsdError(f"prior.lora: a {pipeline.kind} of diffusers takes no LoRA; set prior.lora=null.")
        return Found(number, files, pipeline, quantized, schedule_in(pipeline.folder, model))

    def _load(self, component: str, dtype: torch.dtype) -> Any:
        """A frozen part of the pipeline on the device."""
        import diffusers

        folder, (_, kind) = self.pipeline.folder / component, self.pipeline.parts[component]
        with loading(folder):
            part = getattr(diffusers, kind).from_pretrained(
                folder,
                variant=self.variant,
                torch_dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
            )
        with fits("loading the model"):
            return part.to(self.device).eval().requires_grad_(False)

    def _pipeline(self, dtype: torch.dtype, *without: str, **options: Any) -> Any:
        """The pipeline of diffusers around the network, with none of these parts and no autoencoder."""
        import diffusers
        from diffusers.utils.logging import disable_progress_bar

        disable_progress_bar()
        with loading(self.pipeline.folder), warnings.catch_warnings():
            # Later versions of diffusers call it dtype, which earlier ones pass over
            warnings.filterwarnings("ignore", ".*torch_dtype", FutureWarning)
            return getattr(diffusers, self.pipeline.kind).from_pretrained(
                self.pipeline.folder,
                **dict.fromkeys((*without, "vae", *self.pipeline.absent)),
                **{self.family.network: self.network},
                torch_dtype=dtype,
                variant=self.variant,
                use_safetensors=True,
                local_files_only=True,
                **options,
            )

    @torch.no_grad()
    def _encode(self, texts: list[str], where: torch.device) -> States:
        """By the text encoders, which are loaded for it and freed."""
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        pipe = self._pipeline(self._precision(where), **in_8_bit(self.quantized))
        with fits("encoding the texts"):
            for name, part in pipe.components.items():
                if name.startswith("text_encoder") and part is not None:
                    part.to(where).eval()
            states = self.family.encode(pipe, texts, where)
        del pipe
        gc.collect()
        return states

    def _precision(self, where: torch.device) -> torch.dtype:
        """Of the text encoders."""
        return self.dtype if where.type == "cuda" else torch.float32

    def _fingerprint(self, where: torch.device) -> str:
        """Of all that decides on a text's states."""
        parts = sorted(part for part in self.pipeline.parts if part.startswith(("tokenizer", "text_encoder")))
        files = {part: digests(self.pipeline.folder / part) for part in parts}
        decided = (self.pipeline.kind, self.variant, files, self.pipeline.settings, self.quantized)
        return hashlib.blake2b(f"{decided} {where.type} {self._precision(where)}".encode(), digest_size=16).hexdigest()

    def prepare(self, texts: Iterable[str]) -> None:
        """Encode all texts that a run will use in one go; those it is asked for later load the encoders again."""
        self.states.prepare(["", *texts])

    def predict(
        self,
        x: Float[Tensor, "V C h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
    ) -> Float[Tensor, "V C h w"]:
        """What the network itself says of x = z + sigma n, noise or velocity, with graph."""
        seen, t = self.schedule.input(x, sigma).to(self.dtype), self.schedule.step(sigma)
        text = {key: value.to(self.dtype) for key, value in self._text(condition).items()}
        with fits("denoising"):
            return self.family.predict(self.network, seen, t, text, self.options).to(x)

    def _text(self, condition: Condition) -> States:
        """What the text encoders make of every view's text, blended where it stands between two."""
        texts = self.states(condition.texts)
        if condition.others is None or condition.blend is None:
            return texts
        return self.family.blend(texts, self.states(condition.others), condition.blend)
