"""A Stable Diffusion pipeline with random weights, small enough to make in a second."""

import copy
import json
import re
from pathlib import Path

import torch

from gsd.backend.torchvision_mend import mend_torchvision

TOKENS = 24  # the prompt's, start and end included
CHANNELS = (16, 32)


def small_clip(layers, tokens, projection=False):
    """A tokenizer that knows letters, and CLIP's text encoder with random weights."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=tokens)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=tokens,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
    )
    return tokenizer, (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def small_vae(channels=4, **more):
    """An autoencoder with random weights: images of 16 pixels, latents of 8."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        sample_size=16,
        scaling_factor=0.3,
        **more,
    ).eval()


def random_pipeline(folder: Path, prediction="epsilon", seed=0, variant=None, tokens=TOKENS, in_channels=4, **network):
    """Written to `folder` as diffusers writes it; latents are 4 x 8 x 8, images 16 x 16. Returns the pipeline.

    `network`: settings of the UNet other than the usual.
    """
    mend_torchvision()
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    torch.manual_seed(seed)
    vae = small_vae()
    settings = {
        "sample_size": 8,
        "in_channels": in_channels,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": CHANNELS,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    unet = UNet2DConditionModel(**(settings | network))
    tokenizer, encoder = small_clip(1, tokens)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        unet=unet.eval(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            steps_offset=1,
            prediction_type=prediction,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, variant=variant)
    return pipeline


def random_multiview(folder: Path, **options):
    """A pipeline whose network takes a camera's 16 numbers, as MVDream's does."""
    return random_pipeline(folder, class_embed_type="projection", projection_class_embeddings_input_dim=16, **options)


def random_controlnet(folder: Path, unet, seed=0, variant=None):
    """A ControlNet for `unet` whose residuals are not 0, as an untrained one's are. Returns it."""
    from diffusers import ControlNetModel

    torch.manual_seed(seed)
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16)).eval()
    for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.2)
    torch.nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=0.5)
    controlnet.save_pretrained(folder, variant=variant)
    return controlnet


def random_lora(file: Path, network, kind="unet", seed=0, targets=("to_q", "to_v")) -> dict[str, torch.Tensor]:
    """A LoRA for the network, with weights that change it, as diffusers saves one. Returns what is in the file."""
    from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    adapter = LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=list(targets))
    trained = inject_adapter_in_model(adapter, copy.deepcopy(network))
    weights = {f"{kind}.{key}": value.contiguous() for key, value in get_peft_model_state_dict(trained).items()}
    save_file(weights, file)
    return weights


RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def ldm_names(model) -> dict[str, torch.Tensor]:
    """The weights of a UNet or ControlNet of diffusers under their names in LDM; a class embedding is the camera's."""
    step = model.config.layers_per_block + 1
    attends = [kind.startswith("Cross") for kind in model.config.get("up_block_types", ())]

    def block(first, last):
        return lambda m: f"{first}.{int(m[1]) * step + int(m[2]) + (first == 'input_blocks')}.{last}"

    rules = {
        r"^conv_in": "input_blocks.0.0",
        r"^conv_norm_out": "out.0",
        r"^conv_out": "out.2",
        r"^time_embedding\.linear_(\d)": lambda m: f"time_embed.{2 * int(m[1]) - 2}",
        r"^class_embedding\.linear_(\d)": lambda m: f"camera_embed.{2 * int(m[1]) - 2}",
        r"^controlnet_cond_embedding\.conv_in": "input_hint_block.0",
        r"^controlnet_cond_embedding\.blocks\.(\d+)": lambda m: f"input_hint_block.{2 + 2 * int(m[1])}",
        r"^controlnet_cond_embedding\.conv_out": "input_hint_block.14",
        r"^controlnet_down_blocks\.(\d+)": r"zero_convs.\1.0",
        r"^controlnet_mid_block": "middle_block_out.0",
        r"^mid_block\.resnets\.(\d)": lambda m: f"middle_block.{2 * int(m[1])}",
        r"^mid_block\.attentions\.0": "middle_block.1",
        r"^down_blocks\.(\d)\.resnets\.(\d)": block("input_blocks", 0),
        r"^down_blocks\.(\d)\.attentions\.(\d)": block("input_blocks", 1),
        r"^down_blocks\.(\d)\.downsamplers\.0\.conv": lambda m: f"input_blocks.{(int(m[1]) + 1) * step}.0.op",
        r"^up_blocks\.(\d)\.resnets\.(\d)": block("output_blocks", 0),
        r"^up_blocks\.(\d)\.attentions\.(\d)": block("output_blocks", 1),
        r"^up_blocks\.(\d)\.upsamplers\.0\.conv": lambda m: (
            f"output_blocks.{(int(m[1]) + 1) * step - 1}.{1 + attends[int(m[1])]}.conv"
        ),
    }

    def renamed(key):
        if ".resnets." in key:
            *before, layer, kind = key.split(".")
            key = ".".join([*before, RESNET[layer], kind])
        (name,) = {re.sub(old, new, key) for old, new in rules.items() if re.match(old, key)}
        return name

    return {renamed(key): value for key, value in model.state_dict().items()}


def edit(file: Path, **changes) -> None:
    """Change entries of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def relative(a, b) -> float:
    """Distance in L2 relative to b."""
    return float(((a - b).norm() / b.norm()).detach())
