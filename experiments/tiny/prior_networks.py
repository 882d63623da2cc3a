"""The networks and the noise schedule of prior=tiny."""

from __future__ import annotations

from typing import Any

import prior_data as data
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gsd.noise_levels import vp_sigmas

SCALING = 0.18215  # of the latents: Stable Diffusion's, so that code which forgets it fails here too
SHIFT = 2.0  # of the noise levels: 32 x 32 latents show a form through more noise than the 16 x 16 of a network before
PROMPT_TOKENS = 48  # a tenth less work than with 77; a word of the captions is one token, any other its letters


def vae() -> Any:
    """64 x 64 x 3 to 32 x 32 x 4; 0.15 million parameters."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=data.RESOLUTION,
        scaling_factor=SCALING,
    )


def unet() -> Any:
    """4.3 million parameters. Attention only at 8 x 8 and 4 x 4: at 16 x 16 it would take half of the time."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 32, 64, 128),
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=96,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=192,
        projection_dim=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=PROMPT_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def scheduler() -> Any:
    """Stable Diffusion's noise levels SHIFT times as high, with v-prediction as in 2.1.

    An error of the predicted noise is an error sigma times as large of the denoised latents, up to 30 times; the error
    of a predicted velocity is not enlarged. High noise levels decide on the pose, and the network is small.
    """
    from diffusers import DDIMScheduler

    abar = 1 / (1 + (SHIFT * vp_sigmas().double()) ** 2)
    betas = 1 - abar / torch.cat([torch.ones(1), abar[:-1]])
    return DDIMScheduler(
        trained_betas=betas.tolist(),
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="leading",
    )


def flow_scheduler() -> Any:
    """Straight lines from data to noise, by the scheduler that Stable Diffusion's pipeline can have for them."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT, steps_offset=1
    )


class Denoiser(nn.Module):
    """What the second stage trains."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder(tokenizer), unet()

    def forward(
        self, x: Float[Tensor, "B 4 h w"], t: Int[Tensor, " B"], tokens: Int[Tensor, "B L"]
    ) -> Float[Tensor, "B 4 h w"]:
        return self.unet(x, t, self.text_encoder(tokens)[0]).sample


def pipeline(vae: Any, unet: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Any:
    """In the layout of diffusers, without what judges pictures."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
