"""How alike DINO finds the views of a turntable: its neighbours, and all views and the front."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from gsd.backend.checkpoint import loading
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.metric.parts.pictures import in_chunks
from gsd.metric.parts.pretrained import frozen, locate_model, pictures_of
from gsd.metric.parts.turn import neighbours
from gsd.protocols import Metric
from gsd.ranges import Few
from gsd.types import Cameras, Render

KINDS = ("dinov2", "dinov2_with_registers", "dinov3_vit", "vit")  # "vit" is the first DINO
EXAMPLE = "facebook/dinov2-base"


@dataclass
class Dino(Metric):
    """Mean cosines of the features of whole views, as papers report "DINO consistency".

    dino_neighbours   over every view and the two nearest to `apart_deg` away; in [-1, 1], higher is steadier
    dino_front        over every other view and the one whose camera is nearest to azimuth 0

    A view's feature is the last layer's class token after its norm (Caron et al. 2021; DINOv2, Oquab et al. 2023;
    DINOv3, Simeoni et al. 2025). Cosines of class tokens are what DreamBooth (Ruiz et al. 2023) calls DINO; papers on
    3D apply them to neighbouring views, or to each view and a reference picture, whose place the front takes here.

    What it does not see: a Janus. More faces make views more alike, so that both numbers rise, as they do for a ball or
    an empty scene; that is why dino_front has no better direction. The first cosine grows as the angle shrinks: it is
    taken at `apart_deg` and not from one view to the next, so that turntables of 24 and 120 views measure the same.
    Numbers of different models cannot be compared. Views are resized to the model's size without the cropping that its
    own preprocessing does.

    model: a folder as transformers writes it, or a hub id, downloaded once; raises GsdError as
    `gsd.metric.parts.pretrained.locate_model`. chunk: views encoded at a time.
    """

    model: str = EXAMPLE
    apart_deg: Annotated[float, Interval(gt=0, le=90)] = 15.0
    chunk: Few = 16

    def __post_init__(self) -> None:
        folder = locate_model(self.model, KINDS, "metric.dino.model", EXAMPLE)
        self.network = _opened(folder)
        self.pictures = pictures_of(folder, f"metric.dino.model={self.model}")

    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        features = self.features(turntable.rgb)
        i, j = neighbours(cameras.on_cpu, self.apart_deg)
        away = (cameras.on_cpu.azimuth + 180).remainder(360) - 180
        front = int(away.abs().argmin())
        others = torch.arange(len(features)) != front
        alike = cosine_similarity(features[others], features[front][None], dim=1)
        return {
            "dino_neighbours": float(cosine_similarity(features[i], features[j], dim=1).mean()),
            "dino_front": float(alike.mean()),
        }

    def features(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V D"]:
        """The class token of every view (values in [0, 1]), on the CPU."""
        network = self.network.to(rgb.device)
        return in_chunks(
            rgb, self.pictures, self.chunk, lambda seen: network(pixel_values=seen).last_hidden_state[:, 0]
        ).cpu()


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Any:
    mend_torchvision()
    from transformers import AutoModel

    with loading(folder):
        return frozen(AutoModel, folder)
