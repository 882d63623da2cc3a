"""The networks and the noise schedule of prior=tiny."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import prior_data as data
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

SCALING = 0.18215  # of the latents: Stable Diffusion's, so that code which forgets it fails here too
PROMPT_TOKENS = 48  # a tenth less work than with 77; a word of the captions is one token, any other its letters
STREAM, CONSTANT = (0, 2, 4), (1, 3, 5)  # channels of start_from_colours: one of each in every group of a norm
KEPT = (*STREAM, *CONSTANT)
LEVEL, LIFT = 8.0, 4.0


def vae() -> Any:
    """64 x 64 x 3 to 16 x 16 x 4; 0.24 million parameters."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=data.RESOLUTION,
        scaling_factor=SCALING,
    )


@torch.no_grad()
def start_from_colours(vae: Any, rgb: Float[Tensor, "B 3 R R"]) -> None:
    """Make an untrained autoencoder pass on the mean colour of every 4 x 4 pixels, in the first three latents.

    Left to itself it learns brightness first, and after 2,000 steps of 8 images it still decoded everything in greys.
    The colours run beside constants through channels that the residual blocks leave alone at first: the constants keep
    the group norms from rescaling them, and the lift keeps them where SiLU is nearly the identity. Images in [-1, 1]
    calibrate latents and output.
    """
    encoder, decoder = vae.encoder, vae.decoder
    centre, average, point = torch.zeros(3, 3), torch.zeros(3, 3), torch.ones(1, 1)
    centre[1, 1] = 1
    average[:2, :2] = 0.25
    for stage in (encoder, decoder):
        _wire(stage.conv_in, centre, range(3), STREAM)
        stage.conv_in.weight[list(CONSTANT)] = 0
        stage.conv_in.bias[list(CONSTANT)] = LEVEL
        _wire(stage.conv_out, centre, STREAM, range(3))
        stage.conv_norm_out.bias[list(KEPT)] = LIFT
        for block in stage.modules():
            if type(block).__name__ == "ResnetBlock2D":
                block.conv2.weight *= 0.3
                block.conv2.weight[list(KEPT)] = 0
                block.conv2.bias[list(KEPT)] = 0
                if block.conv_shortcut is not None:
                    _wire(block.conv_shortcut, point, KEPT, KEPT)
    for down in [down for block in encoder.down_blocks for down in block.downsamplers or ()]:
        _wire(down.conv, average, KEPT, KEPT)
    for up in [up for block in decoder.up_blocks for up in block.upsamplers or ()]:
        _wire(up.conv, centre, KEPT, KEPT)
    latents = range(len(vae.post_quant_conv.weight))
    vae.quant_conv.weight *= 0.1
    vae.quant_conv.bias[len(latents) :] = -4  # log-variance: little noise at first
    for conv in (vae.quant_conv, vae.post_quant_conv):
        _wire(conv, point, latents, latents)
    z = vae.encode(rgb).latent_dist.mean
    _affine(encoder.conv_out, 1 / z.std((0, 2, 3)), -z.mean((0, 2, 3)) / z.std((0, 2, 3)))
    out = vae.decode(vae.encode(rgb).latent_dist.mean).sample
    spread, mean, wanted = out.std((0, 2, 3)), out.mean((0, 2, 3)), rgb.mean((0, 2, 3))
    slope = ((out - mean[:, None, None]) * (rgb - wanted[:, None, None])).mean((0, 2, 3)) / spread**2
    _affine(decoder.conv_out, slope, wanted - slope * mean)


def _wire(conv: nn.Conv2d, kernel: Float[Tensor, "k k"], sources: Iterable[int], targets: Iterable[int]) -> None:
    """Let each target channel be one source channel, filtered."""
    assert conv.bias is not None
    for source, target in zip(sources, targets, strict=True):
        conv.weight[target] = 0
        conv.weight[target, source] = kernel
        conv.bias[target] = 0


def _affine(conv: nn.Conv2d, scale: Float[Tensor, " C"], shift: Float[Tensor, " C"]) -> None:
    """Follow the first C outputs by scale and shift."""
    assert conv.bias is not None
    channels = len(scale)
    conv.weight[:channels] *= scale[:, None, None, None]
    conv.bias[:channels] = conv.bias[:channels] * scale + shift


def unet() -> Any:
    """4.2 million parameters. Attention only at 8 x 8 and 4 x 4: at 16 x 16 it would take half of the time."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
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
    """Stable Diffusion's noise levels, with v-prediction as in 2.1.

    An error of the predicted noise is an error sigma times as large of the denoised latents, up to 15 times; the error
    of a predicted velocity is not enlarged. High noise levels decide on the pose, and the network is small.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="leading",
    )


def flow_scheduler() -> Any:
    """Straight lines from data to noise. A UNet's pipeline wants this scheduler for them, not the one of flow models."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)


class Denoiser(nn.Module):
    """What the second stage trains."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder(tokenizer), unet()

    def forward(
        self, x: Float[Tensor, "B 4 h w"], t: Int[Tensor, " B"], tokens: Int[Tensor, "B L"]
    ) -> Float[Tensor, "B 4 h w"]:
        return self.unet(x, t, self.text_encoder(tokens)[0]).sample


@torch.no_grad()
def take_weights(model: Denoiser, tokenizer: Any, folder: Path) -> None:
    """Start from a finished model; words it did not know keep their first values."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    model.unet.load_state_dict(UNet2DConditionModel.from_pretrained(folder / "unet").float().state_dict())
    theirs: Any = CLIPTextModel.from_pretrained(folder / "text_encoder").float()
    vocabulary = CLIPTokenizer.from_pretrained(folder / "tokenizer").get_vocab()
    state, table = theirs.state_dict(), model.text_encoder.get_input_embeddings().weight
    for word, number in tokenizer.get_vocab().items():
        if word in vocabulary:
            table[number] = theirs.get_input_embeddings().weight[vocabulary[word]]
    (name,) = (name for name in state if name.endswith("token_embedding.weight"))
    model.text_encoder.load_state_dict(state | {name: table.clone()})


def take_autoencoder(model: Any, folder: Path) -> None:
    """Start from a finished model's autoencoder."""
    from diffusers import AutoencoderKL

    model.load_state_dict(AutoencoderKL.from_pretrained(folder / "vae").float().state_dict())


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
