"""With which weights the trainings of prior=tiny begin: colours passed on, or those of a finished model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from prior_networks import Denoiser
from torch import Tensor, nn

STREAM, CONSTANT = (0, 2, 4), (1, 3, 5)  # channels of start_from_colours: one of each in every group of a norm
KEPT = (*STREAM, *CONSTANT)
LEVEL, LIFT = 8.0, 4.0


@torch.no_grad()
def start_from_colours(vae: Any, rgb: Float[Tensor, "B 3 R R"]) -> None:
    """Make an untrained autoencoder pass on the mean colour of every 2 x 2 pixels, in the first three latents.

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


@torch.no_grad()
def take_weights(model: Denoiser, tokenizer: Any, folder: Path) -> None:
    """Start from a finished model; words it did not know keep their first values.

    The levels of a model that lacks the outermost one, for latents half as wide, become the inner ones.
    """
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    finished: Any = UNet2DConditionModel.from_pretrained(folder / "unet").float()
    inward = len(model.unet.down_blocks) - len(finished.down_blocks)
    taken = {_inward(name, inward): value for name, value in finished.state_dict().items()}
    kept = model.unet.state_dict()
    assert taken.keys() <= kept.keys()
    model.unet.load_state_dict(kept | taken)
    theirs: Any = CLIPTextModel.from_pretrained(folder / "text_encoder").float()
    vocabulary = CLIPTokenizer.from_pretrained(folder / "tokenizer").get_vocab()
    state, table = theirs.state_dict(), model.text_encoder.get_input_embeddings().weight
    for word, number in tokenizer.get_vocab().items():
        if word in vocabulary:
            table[number] = theirs.get_input_embeddings().weight[vocabulary[word]]
    (name,) = (name for name in state if name.endswith("token_embedding.weight"))
    model.text_encoder.load_state_dict(state | {name: table.clone()})


def _inward(name: str, levels: int) -> str:
    """The name of a weight of a UNet that has so many levels more around it."""
    return re.sub(r"^down_blocks\.(\d+)", lambda found: f"down_blocks.{int(found[1]) + levels}", name)


def take_autoencoder(model: Any, folder: Path) -> None:
    """Start from a finished model's autoencoder."""
    from diffusers import AutoencoderKL

    model.load_state_dict(AutoencoderKL.from_pretrained(folder / "vae").float().state_dict())
