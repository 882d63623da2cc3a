"""PickScore: how much people would prefer the views as pictures of the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from gsd.backend.checkpoint import loading
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.metric.parts.pictures import in_chunks
from gsd.metric.parts.pretrained import frozen, locate_model, pictures_of
from gsd.protocols import Metric
from gsd.ranges import Few
from gsd.types import Cameras, Render

KINDS = ("clip",)
EXAMPLE = "yuvalkirstain/PickScore_v1"


@dataclass
class PickScore(Metric):
    """PickScore (Kirstain et al. 2023) of a turntable: a CLIP-H trained on choices that people made between pictures.

    pick_score, pick_score_min   exp(logit_scale) cos(view, prompt), the mean and the least over views; the scale is
                                 100 in PickScore v1, and pictures score about 20

    Only differences for one prompt mean something: e to the power of the difference of two pictures' scores is how many
    times as often the one is chosen. It was trained on whole pictures and not on renders, and it sees no geometry: an
    animal with a face on every side scores as a true one does, often more. Prompts longer than the text encoder takes
    are cut.

    model: a folder as transformers writes it, or a hub id, downloaded once; raises GsdError as
    `gsd.metric.parts.pretrained.locate_model`. chunk: views encoded at a time.
    """

    model: str = EXAMPLE
    chunk: Few = 16

    def __post_init__(self) -> None:
        folder = locate_model(self.model, KINDS, "metric.pick_score.model", EXAMPLE)
        self.network, self.tokenizer = _opened(folder)
        self.pictures = pictures_of(folder, f"metric.pick_score.model={self.model}")

    @torch.no_grad()
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        rgb = turntable.rgb
        clip = self.network.to(rgb.device)
        tokens = self.tokenizer([prompt], truncation=True, return_tensors="pt").to(rgb.device)
        text = clip.text_projection(clip.text_model(**tokens).pooler_output)
        views = in_chunks(
            rgb, self.pictures, self.chunk, lambda seen: clip.visual_projection(clip.vision_model(seen).pooler_output)
        )
        scores = clip.logit_scale.exp() * (normalize(views, dim=1) @ normalize(text, dim=1).T)
        return {"pick_score": float(scores.mean()), "pick_score_min": float(scores.min())}


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[Any, Any]:
    mend_torchvision()
    from transformers import AutoTokenizer, CLIPModel

    with loading(folder):
        return frozen(CLIPModel, folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
