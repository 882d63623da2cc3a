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


def _hps(folder: Path):
    """The shipped CLIP in its place, which has the layout."""
    shutil.copytree(TINY, folder)


YARDSTICKS = {"dino": random_dino, "pick_score": random_pick_score, "hps": _hps}  # metric -> what its folder holds
