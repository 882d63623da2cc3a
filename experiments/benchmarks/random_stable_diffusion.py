"""A checkpoint of Stable Diffusion 2.1's architecture with random weights: as slow as the real one, and not on the hub.

The sizes are those of the published configuration files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gsd.backend.cache import cache_folder
from gsd.backend.checkpoint import TINY
from gsd.backend.torchvision_mend import mend_torchvision


def random_stable_diffusion() -> Path:
    """Its folder, made at the first call: 1.9 GB, half precision, the text encoder with one layer of the 23."""
    folder = cache_folder() / "random_stable_diffusion"
    if (folder / "model_index.json").exists():
        return folder
    mend_torchvision()
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(TINY / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=4096,
        projection_dim=512,
        num_hidden_layers=1,
        num_attention_heads=16,
        max_position_embeddings=77,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        sample_size=768,
    )
    unet = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
    )
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)
    return folder
