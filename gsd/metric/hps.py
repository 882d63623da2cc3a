"""Human Preference Score v2: how much people would prefer the views as pictures of the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gsd.errors import GsdError
from gsd.metric.parts.clip import HUB, load_clip
from gsd.protocols import Metric
from gsd.ranges import Few
from gsd.types import Cameras, Render

REWRITE = (
    "import torch, safetensors.torch as s; w = torch.load('HPS_v2.1_compressed.pt', map_location='cpu', "
    "weights_only=True); s.save_file({k: v.clone().contiguous() for k, v in w['state_dict'].items()}, "
    "'hps_v2.1.safetensors')"
)


@dataclass
class HPS(Metric):
    """HPS v2 or v2.1 (Wu et al. 2023) of a turntable: CLIP's ViT-H-14, trained on people's choices between pictures.

    hps, hps_min   100 cos(view, prompt), the mean and the least over views; the benchmark of HPS prints numbers
                   of about 20 to 35

    Only differences for one prompt mean something, and v2 and v2.1 are different models. It was trained on whole
    pictures and not on renders, and it sees no geometry: an animal with a face on every side scores as a true one does,
    often more. Prompts longer than 77 tokens are cut.

    The authors' weights (xswu/HPSv2 on the hub) are a pickle, which is rewritten once:
    torch.load(..., weights_only=True) and safetensors.torch.save_file; the error for missing weights has the line.

    model, pretrained: as for `gsd.metric.parts.clip.load_clip`, but neither "tiny" nor one of open_clip's tags, which
    are plain CLIP: a .safetensors file for ViT-H-14, or a model of HPS as a folder or hf-hub:OWNER/NAME. Raises
    GsdError. chunk: views encoded at a time.
    """

    model: str = "ViT-H-14"
    pretrained: str | None = None
    chunk: Few = 16

    def __post_init__(self) -> None:
        own = self.model.startswith(HUB) or Path(self.model.removeprefix("local-dir:")).expanduser().is_dir()
        if not own and (self.pretrained is None or not Path(self.pretrained).expanduser().is_file()):
            what = "has no default" if self.pretrained is None else "is no file"
            raise GsdError(
                f"metric.hps.pretrained={'null' if self.pretrained is None else self.pretrained} {what}: give the "
                "weights of HPS v2 as .safetensors; download HPS_v2.1_compressed.pt from huggingface.co/xswu/HPSv2 "
                f'and rewrite it with python -c "{REWRITE}".'
            )
        self.clip = load_clip(self.model, self.pretrained, "metric.hps")

    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        scores = 100 * self.clip.similarity(turntable.rgb.detach(), [prompt], self.chunk)
        return {"hps": float(scores.mean()), "hps_min": float(scores.min())}
