"""Random DINO and CLIP models of transformers as folders, with the files that say how they see pictures."""

import json
import shutil
from pathlib import Path

import torch
from pretrained import random_clip

from gsd.backend.torchvision_mend import mend_torchvision
from gsd.metric.parts.clip import TINY

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def processor(folder: Path, size):
    """preprocessor_config.json, as DINOv2's: shorter side, then the middle of it."""
    settings = {"size": {"shortest_edge": size + 2}, "crop_size": {"height": size, "width": size}, "resample": 3}
    settings |= {"image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def random_dino(folder: Path, kind="Dinov2", **options):
    """One layer on 16 x 16 pixels in patches of 4 x 4."""
    mend_torchvision()
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 4}
    config = getattr(transformers, f"{kind}Config")(**sizes, intermediate_size=32, initializer_range=0.3, **options)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    model.save_pretrained(folder)
    processor(folder, 16)
    return model


def random_pick_score(folder: Path):
    model = random_clip(folder)
    processor(folder, 16)
    return model


def random_image_reward(folder: Path):
    """weights.safetensors with the names of ImageReward.pt, two layers of two heads, and a tokenizer of a few words."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "an", "a", "owl", "with", "hat", "corgi"]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    wide, patch, side = 128, 8, 32
    state = {}

    def add(name, *shape):
        state[name] = 0.1 * torch.randn(shape, generator=generator)

    def linear(name, out, into):
        add(f"{name}.weight", out, into)
        add(f"{name}.bias", out)

    def norm(name):
        add(f"{name}.weight", wide)
        state[f"{name}.weight"] += 1
        add(f"{name}.bias", wide)

    vision, text = "blip.visual_encoder", "blip.text_encoder"
    add(f"{vision}.cls_token", 1, 1, wide)
    add(f"{vision}.pos_embed", 1, (side // patch) ** 2 + 1, wide)
    add(f"{vision}.patch_embed.proj.weight", wide, 3, patch, patch)
    add(f"{vision}.patch_embed.proj.bias", wide)
    norm(f"{vision}.norm")
    add(f"{text}.embeddings.word_embeddings.weight", len(words), wide)
    add(f"{text}.embeddings.position_embeddings.weight", 40, wide)
    state[f"{text}.embeddings.position_ids"] = torch.arange(40)[None]
    norm(f"{text}.embeddings.LayerNorm")
    linear("blip.vision_proj", 16, wide)
    for k in range(2):
        block, layer = f"{vision}.blocks.{k}", f"{text}.encoder.layer.{k}"
        norm(f"{block}.norm1")
        norm(f"{block}.norm2")
        sizes = {"attn.qkv": (3 * wide, wide), "attn.proj": (wide, wide), "mlp.fc1": (64, wide), "mlp.fc2": (wide, 64)}
        for name, shape in sizes.items():
            linear(f"{block}.{name}", *shape)
        for kind in ("attention", "crossattention"):
            for name in ("self.query", "self.key", "self.value", "output.dense"):
                linear(f"{layer}.{kind}.{name}", wide, wide)
            norm(f"{layer}.{kind}.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", 64, wide)
        linear(f"{layer}.output.dense", wide, 64)
        norm(f"{layer}.output.LayerNorm")
    for k, out, into in ((0, 32, wide), (2, 16, 32), (4, 8, 16), (6, 8, 8), (7, 1, 8)):
        linear(f"mlp.layers.{k}", out, into)
        state[f"mlp.layers.{k}.weight"] *= 3
    save_file(state, folder / "weights.safetensors")


def _hps(folder: Path):
    """The shipped CLIP in its place, which has the layout."""
    shutil.copytree(TINY, folder)


# metric -> what is written to a folder, and the settings that name it
YARDSTICKS = {
    "dino": (random_dino, {"model": "{folder}"}),
    "pick_score": (random_pick_score, {"model": "{folder}"}),
    "hps": (_hps, {"model": "{folder}"}),
    "image_reward": (random_image_reward, {"weights": "{folder}/weights.safetensors", "tokenizer": "{folder}"}),
}
