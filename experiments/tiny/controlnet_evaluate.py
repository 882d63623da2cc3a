"""Does a sample show the animal from where the cloud is seen, with the ControlNet of prior.controlnet=tiny and without?

Both draw the same noise. The judge is the menagerie's exact posterior, as in prior_evaluate.py.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import prior_data as data
import torch
from jaxtyping import Float
from prior_evaluate import SCALE, STEPS, classify, contact_sheet, load_pipeline, sample
from torch import Tensor
from training import report

from gsd.geometry import angle_between
from gsd.init.menagerie import MenagerieCloud
from gsd.menagerie import load, trace
from gsd.metric.check.calibration import prompt
from gsd.prior.menagerie import Menagerie
from gsd.prior.parts.depth import cloud_depth
from gsd.random import Stream
from gsd.types import Context

AZIMUTHS = (0, 60, 120, 180, 240, 300)
ON_SHEET = (0, 2, 3)  # of AZIMUTHS
ELEVATION = 15.0
RADIUS, FILL = 0.05, 1  # of the discs, as in the presets for prior.model=tiny
NEAR = 30  # degrees
INK = 0.93  # what is darker in any channel is the animal: the ground is white


def evaluate(pipeline: Path, controlnet: Path, out: Path) -> dict[str, Any]:
    """Write sheet.png (a row per creature: cloud, without, with, for some azimuths) and result.json."""
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    began = time.time()
    plain = load_pipeline(pipeline)
    network: Any = ControlNetModel.from_pretrained(controlnet, local_files_only=True)
    steered: Any = StableDiffusionControlNetPipeline(**plain.components, controlnet=network.float().eval())
    steered.set_progress_bar_config(disable=True)
    pictures, outlines = _scenes()
    asked = torch.tensor(AZIMUTHS).repeat(len(load())).float()
    judge = Menagerie(Context(next(iter(load()))), view_bias=0.0)
    result: dict[str, Any] = {"samples": len(asked)}
    drawn = {}
    for words in ("without_view_words", "with_view_words"):
        for name, pipe in (("plain", plain), ("controlnet", steered)):
            rgb = sample(pipe, _texts(words == "with_view_words"), 0, pictures if pipe is steered else None)
            drawn[words, name] = rgb
            result[f"{name}_{words}"] = _judged(judge, rgb, asked, outlines)
    result |= {"ddim_steps": STEPS, "guidance_scale": SCALE, "seconds": round(time.time() - began, 1)}
    shown = [drawn["without_view_words", name].unflatten(0, (-1, len(AZIMUTHS))) for name in ("plain", "controlnet")]
    columns = torch.stack([pictures.unflatten(0, (-1, len(AZIMUTHS))), *shown], 2)[:, list(ON_SHEET)]
    contact_sheet(columns.flatten(0, 2), out)
    return report(result, out)


def _scenes() -> tuple[Float[Tensor, "B 3 R R"], Float[Tensor, "B R R"]]:
    """A rough cloud of every creature seen from AZIMUTHS, and the outline of the creature itself."""
    cameras = data.around(torch.tensor(AZIMUTHS).float(), torch.full((len(AZIMUTHS),), ELEVATION))
    pictures, outlines = [], []
    for number, (name, creature) in enumerate(load().items()):
        variant = number % data.VARIANTS
        cloud = MenagerieCloud(Context(prompt(name)), yaw=0.0, variant=variant)(Stream(1, name))
        pictures.append(cloud_depth(cloud.xyz, cameras, RADIUS, FILL).expand(-1, 3, -1, -1))
        outlines.append(trace(creature.figure(variant), cameras).alpha[:, 0] > 0.5)
    return torch.cat(pictures), torch.cat(outlines).float()


def _texts(words: bool) -> list[str]:
    """A prompt for every picture, with or without the view words nearest to its azimuth."""
    views = [f", {view}" for view in ("front view", "left side view", "back view", "right side view")]
    return [prompt(name) + (views[round(azimuth / 90) % 4] if words else "") for name in load() for azimuth in AZIMUTHS]


def _judged(
    judge: Menagerie, rgb: Float[Tensor, "B 3 R R"], asked: Float[Tensor, " B"], outlines: Float[Tensor, "B R R"]
) -> dict[str, float]:
    names = [name for name in load() for _ in AZIMUTHS]
    found = classify(judge, rgb)
    away = angle_between(torch.tensor([azimuth for _, azimuth, _ in found]), asked).abs()
    ink = (rgb < INK).any(1)
    there = outlines > 0.5
    overlap = (ink & there).sum((1, 2)) / (ink | there).sum((1, 2)).clamp(min=1)
    return {
        f"azimuth_within_{NEAR}_deg": float((away <= NEAR).float().mean()),
        "azimuth_median_error_deg": float(away.median()),
        "outline_iou": float(overlap.mean()),
        "right_animal": sum(name == other for (name, _, _), other in zip(found, names, strict=True)) / len(names),
        "psnr_to_nearest": sum(psnr for _, _, psnr in found) / len(found),
    }
