"""Checkpoints in the layout of LDM, once converted, are read like any other; the commands are `gsd convert` and
`gsd convert-3dfuse`.

The names are translated by diffusers (`from_single_file`).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError, reason

UNET, CONTROL = "model.diffusion_model.", "control_model."
CAMERA, CLASS = "camera_embed.", "label_emb.0."  # MVDream's embedding of the camera, LDM's of a class
HEAD = 64  # channels of an attention head of Stable Diffusion 2.x; 1.x has 8 heads
PICKLED = {".ckpt", ".pt", ".pth", ".bin"}


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a pickle read by PyTorch's restricted unpickler, which runs no code.

    Raises:
        GsdError: for a file that is missing, damaged or of another kind, and for a pickle of more than weights.
    """
    if not file.is_file():
        raise GsdError(f"{file}: no such file.")
    if file.suffix in PICKLED:
        return _unpickled(file)
    if file.suffix != ".safetensors":
        raise GsdError(f"{file} is of no kind that holds weights; give a .safetensors or .ckpt file.")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise GsdError(f"{file} cannot be read ({error}); copy it again.") from None


def _unpickled(file: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file, and pickle's own for what it refuses
        raise GsdError(
            f"{file} cannot be read as weights alone ({reason(error)}), and nothing else of a pickle is read, since it "
            "can run any code; copy it again, or get the weights as .safetensors."
        ) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {str(key): value for key, value in state.items() if torch.is_tensor(value)}


def controlnet(file: Path, folder: Path) -> None:
    """Write a ControlNet of Stable Diffusion 1.x or 2.x as diffusers reads it."""
    mend_torchvision()
    from diffusers import ControlNetModel

    state = _part(read(file), CONTROL)
    if "input_hint_block.0.weight" not in state:
        raise GsdError(f"{file} holds no ControlNet in the layout of LDM (no key {CONTROL}input_hint_block.0.weight).")
    ldm = _sizes(state, str(file))
    config = {
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "conditioning_channels": state["input_hint_block.0.weight"].shape[1],
        "conditioning_embedding_out_channels": _hint_channels(state),
        **{key: ldm[key] for key in ldm if key not in ("up_block_types", "out_channels")},
    }
    _translated(ControlNetModel, state, config, str(file)).save_pretrained(folder)


def mvdream(file: Path, folder: Path, base: Path) -> None:
    """Write MVDream's pipeline: its UNet, and what it has from the model `base`, the folder of a checkpoint."""
    state = _part(read(file), UNET)
    unet = multiview_unet(state, str(file))
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        shutil.copytree(base / part, folder / part, dirs_exist_ok=True)
    shutil.copy(base / "model_index.json", folder)
    unet.save_pretrained(folder / "unet")


def multiview_unet(state: dict[str, Tensor], name: str, **options: Any) -> Any:
    """The UNet2DConditionModel with MVDream's weights; `state` has its keys (time_embed.0.weight ...).

    The network is Stable Diffusion's with two changes: self-attention runs over the tokens of all views of a group
    (`gsd.prior.mvdream.Joint`, no weights of its own), and an embedding of the camera's 16 numbers, two linear layers
    with SiLU between, is added to that of the time. diffusers adds a class embedding of type "projection" in the same
    way. `options` go to diffusers' loader.
    """
    mend_torchvision()
    from diffusers import UNet2DConditionModel

    if "camera_embed.0.weight" not in state:
        raise GsdError(f"{name} holds no MVDream UNet (no key camera_embed.0.weight).")
    if any(key.startswith("image_embed.") for key in state):
        raise GsdError(f"{name} is ImageDream, which needs a picture; prior=mvdream reads MVDream.")
    config = {
        "sample_size": 32,  # of 256 pixels, which it was trained at
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": state["camera_embed.0.weight"].shape[1],
        **_sizes(state, name),
    }
    renamed = {UNET + key.replace(CAMERA, CLASS): value for key, value in state.items()}
    return _translated(UNet2DConditionModel, renamed, config, name, **options)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it; all where nothing has it."""
    part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return part or state


def _sizes(state: dict[str, Tensor], name: str) -> dict[str, Any]:
    """The settings of diffusers' encoder (and decoder) blocks that fit the tensors of an LDM UNet or ControlNet."""
    if "middle_block.1.transformer_blocks.0.attn2.to_k.weight" not in state:
        raise GsdError(f"{name} is not of the layout that gsd converts: it has no attention in the middle.")
    channels, layers, attends = [], 0, []
    block = 1
    while f"input_blocks.{block}.0.in_layers.2.weight" in state:
        layers = 0
        while f"input_blocks.{block}.0.in_layers.2.weight" in state:
            width = state[f"input_blocks.{block}.0.in_layers.2.weight"].shape[0]
            crossed = f"input_blocks.{block}.1.proj_in.weight" in state
            layers, block = layers + 1, block + 1
        channels.append(width)
        attends.append(crossed)
        block += 1  # what comes between two levels: a downsampling
    linear = state["middle_block.1.proj_in.weight"].ndim == 2
    context = state["middle_block.1.transformer_blocks.0.attn2.to_k.weight"].shape[1]
    return {
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        "cross_attention_dim": context,
        "use_linear_projection": linear,  # 2.x; 1.x has convolutions, and a number of heads instead of their size
        "attention_head_dim": [max(1, width // HEAD) for width in channels] if linear else 8,
        "out_channels": 4,
    }


def _hint_channels(state: dict[str, Tensor]) -> list[int]:
    """Of the ControlNet's layers for the picture: those before each halving of the resolution."""
    return [state[f"input_hint_block.{i}.weight"].shape[0] for i in (0, 4, 8, 12)]


def _translated(kind: Any, state: dict[str, Tensor], config: dict[str, Any], name: str, **options: Any) -> Any:
    """By diffusers' own translation, with settings from here instead of from the hub; every tensor has its place."""
    refused = f"{name} is not of the layout that gsd converts"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps({"_class_name": kind.__name__, **config}))
        try:
            model = kind.from_single_file(state, config=folder, local_files_only=True, **options)
        except (NotImplementedError, RuntimeError, ValueError, KeyError) as error:  # what lacks a tensor or misfits
            raise GsdError(f"{refused} ({' '.join(str(error).split())[:120]}).") from error
    if len(model.state_dict()) != len(state):
        raise GsdError(f"{refused}: {len(state)} tensors for {len(model.state_dict())}.")
    return model
