"""ImageReward: how much people would prefer the views as pictures of the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gsd.backend.checkpoint import HUB_ID, from_hub, loading
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.metric.parts.blip import RewardNetwork
from gsd.metric.parts.pictures import Pictures, in_chunks
from gsd.protocols import Metric
from gsd.ranges import Few
from gsd.types import Cameras, Render

LONGEST = 35  # tokens of a prompt, the first and the last of which are the tokenizer's own
COLOURS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # CLIP's mean and deviation
BERT = "google-bert/bert-base-uncased"
REWRITE = (
    "import torch, safetensors.torch as s; w = torch.load('ImageReward.pt', map_location='cpu', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'image_reward.safetensors')"
)


@dataclass
class ImageReward(Metric):
    """ImageReward v1.0 (Xu et al. 2023) of a turntable: BLIP-L, trained on people's rankings of pictures for a prompt.

    image_reward, image_reward_min   the mean and the least over views; over the authors' pictures the rewards have mean
                                     0 and deviation 1

    T3Bench's quality (He et al. 2023) is 50 + 20 times the reward of the best region of a sphere of views. Only
    differences for one prompt mean something. It was trained on whole pictures and not on renders, and it sees no
    geometry: an animal with a face on every side is rewarded as a true one is, often more. Prompts are cut after 33
    tokens of BERT.

    weights: ImageReward.pt (THUDM/ImageReward on the hub) as .safetensors; the authors' file is a pickle, which is
    rewritten once by the line that the error for missing weights has. tokenizer: that of bert-base-uncased, a folder or
    hub id, of which only small text files are downloaded. Raises GsdError where one is missing or another model's.
    chunk: views encoded at a time. The network is transformers' BLIP (`gsd.metric.parts.blip`).
    """

    weights: str | None = None
    tokenizer: str = BERT
    chunk: Few = 16

    def __post_init__(self) -> None:
        file = None if self.weights is None else Path(self.weights).expanduser()
        if file is None or file.suffix != ".safetensors" or not file.is_file():
            raise GsdError(
                f"metric.image_reward.weights={'null' if self.weights is None else self.weights} is no .safetensors "
                "file: download ImageReward.pt from huggingface.co/THUDM/ImageReward, rewrite it with "
                f'python -c "{REWRITE}" and give that.'
            )
        self.network, self.words = _opened(file), _words(_located(self.tokenizer))

    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        rgb = turntable.rgb
        network = self.network.to(rgb.device)
        tokens = self.words([prompt], truncation=True, max_length=LONGEST, return_tensors="pt").to(rgb.device)
        pictures = Pictures((network.size, network.size), "bicubic", *COLOURS)
        rewards = in_chunks(rgb, pictures, self.chunk, lambda seen: network(seen, tokens))
        return {"image_reward": float(rewards.mean()), "image_reward_min": float(rewards.min())}


@lru_cache(maxsize=1)
def _opened(file: Path) -> RewardNetwork:
    from safetensors.torch import load_file

    with loading(file):
        state = load_file(file)
    return RewardNetwork(state, f"metric.image_reward.weights={file}").eval().requires_grad_(False)


def _located(tokenizer: str) -> Path:
    """The folder itself, or that of a hub id, downloaded if it is not here yet."""
    option, folder = "metric.image_reward.tokenizer", Path(tokenizer).expanduser()

    def check(place: Path) -> Path:
        if any((place / file).is_file() for file in ("tokenizer.json", "vocab.txt")):
            return place
        raise GsdError(f"{option}={tokenizer} has neither tokenizer.json nor vocab.txt; give the folder of {BERT}.")

    if folder.is_dir() or not HUB_ID.fullmatch(tokenizer):
        return check(folder)
    wanted = ["tokenizer*.json", "vocab.txt", "config.json"]
    return from_hub(tokenizer, check, f"{option}={tokenizer}", f"{option}=/path/to/a/copy", allow_patterns=wanted)


@lru_cache(maxsize=1)
def _words(folder: Path) -> Any:
    mend_torchvision()
    from transformers import BertTokenizer

    with loading(folder):
        return BertTokenizer.from_pretrained(folder, local_files_only=True)
