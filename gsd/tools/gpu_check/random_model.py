"""A checkpoint of Stable Diffusion's architecture with random weights: as large and as slow as the real one.

It needs no network, and goes through the code that loads a real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gsd.backend.checkpoint import TINY
from gsd.backend.torchvision_mend import mend_torchvision


@dataclass(frozen=True)
class Network:
    """Channels of the levels, attention heads, size of the latents and of the text."""

    unet: tuple[int, ...]
    heads: tuple[int, ...]
    vae: tuple[int, ...]
    latents: int
    text: int
    layers: int = 2  # per level


# Of the published configuration files of Stable Diffusion 2.1
STABLE_DIFFUSION = Network((320, 640, 1280, 1280), (5, 10, 20, 20), (128, 256, 512, 512), latents=64, text=1024)
HINT = (16, 32, 96, 256)  # channels of a ControlNet's way from the picture to the latents


def random_checkpoint(folder: Path, network: Network, device: torch.device) -> Path:
    """The folder with a pipeline, written at the first call: half precision, 1.9 GB for Stable Diffusion.

    The text encoder has one layer: it runs once per run. The weights are made on `device`, where that is fastest.
    """
    if (folder / "model_index.json").exists():
        return folder
    mend_torchvision()
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    with device:
        vae, unet, text = _vae(network), _unet(network), _text_encoder(network)
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text,
        tokenizer=CLIPTokenizer.from_pretrained(TINY / "tokenizer"),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for part in (vae, unet, text):
        part.half().to("cpu")
    pipeline.save_pretrained(folder)
    return folder


def random_controlnet(folder: Path, network: Network, device: torch.device) -> Path:
    """The folder with a ControlNet that fits `random_checkpoint`, 0.7 GB for Stable Diffusion."""
    if (folder / "config.json").exists():
        return folder
    mend_torchvision()
    from diffusers import ControlNetModel

    with device:
        made: Any = ControlNetModel(
            conditioning_embedding_out_channels=HINT[: len(network.vae)],
            down_block_types=_down(network),
            **_common(network),
        )
    made.half().to("cpu").save_pretrained(folder)
    return folder


def _unet(network: Network) -> Any:
    from diffusers import UNet2DConditionModel

    up = tuple(kind.replace("Down", "Up") for kind in reversed(_down(network)))
    return UNet2DConditionModel(
        sample_size=network.latents, down_block_types=_down(network), up_block_types=up, **_common(network)
    )


def _down(network: Network) -> tuple[str, ...]:
    return ("CrossAttnDownBlock2D",) * (len(network.unet) - 1) + ("DownBlock2D",)


def _common(network: Network) -> dict[str, Any]:
    return {
        "block_out_channels": network.unet,
        "layers_per_block": network.layers,
        "cross_attention_dim": network.text,
        "attention_head_dim": network.heads,
        "use_linear_projection": True,
    }


def _vae(network: Network) -> Any:
    from diffusers import AutoencoderKL

    levels = len(network.vae)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=network.vae,
        layers_per_block=network.layers,
        sample_size=network.latents * 2 ** (levels - 1),
    )


def _text_encoder(network: Network) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(TINY / "tokenizer")
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        hidden_size=network.text,
        intermediate_size=4 * network.text,
        projection_dim=network.text // 2,
        num_hidden_layers=1,
        num_attention_heads=max(1, network.text // 64),
        max_position_embeddings=77,
    )
    return CLIPTextModel(config)
