"""Are samples of prior=tiny, drawn by plain diffusers, the animals and the views that were asked for?

The judge is the menagerie's exact posterior: which image of any creature, from anywhere, the sample is a noisy copy of.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor
from training import report

from gsd.geometry import angle_between
from gsd.menagerie import find, load
from gsd.metric.check.calibration import prompt
from gsd.prior.menagerie import Menagerie
from gsd.types import Condition, Context

STEPS, SCALE = 25, 4.0  # DDIM steps; classifier-free guidance
BATCH = 20
NOISE = 0.3  # of the posterior, in images of [-1, 1]
SHEET = ("", "", ", front view", ", left side view", ", back view", ", right side view", ", overhead view")
JUDGED = ("",) * 4 + (", front view", ", left side view", ", right side view", ", side view") + (", back view",) * 2
BACKS = 5  # samples "back view" of every creature


def evaluate(pipeline_folder: Path, out: Path) -> dict[str, Any]:
    """Write sheet.png (a row per creature, a column per view) and result.json."""
    began = time.time()
    pipe = load_pipeline(pipeline_folder)
    subjects = [prompt(name) for name in load()]
    contact_sheet(sample(pipe, [s + view for s in subjects for view in SHEET], seed=0), out)
    judge = Menagerie(Context(next(iter(load()))), view_bias=0.0)
    asked = [subject + view for subject in subjects for view in JUDGED]
    found = classify(judge, sample(pipe, asked, seed=1))
    right = [name == find(text).name for text, (name, _, _) in zip(asked, found, strict=True)]
    backs = [f"{subject}, back view" for subject in subjects for _ in range(BACKS)]
    turned = torch.tensor([azimuth for _, azimuth, _ in classify(judge, sample(pipe, backs, seed=2))])
    away = angle_between(turned, torch.full_like(turned, 180.0)).abs()
    plain = torch.tensor([a for text, (_, a, _) in zip(asked, found, strict=True) if "view" not in text])
    result = {
        "samples": len(asked),
        "right_animal": sum(right) / len(right),
        "wrong": [f"{t} -> {name}" for t, (name, _, _), r in zip(asked, found, right, strict=True) if not r],
        "psnr_to_nearest": sum(psnr for _, _, psnr in found) / len(found),
        "back_samples": len(backs),
        "back_within_90_deg": float((away <= 90).float().mean()),
        "back_within_60_deg": float((away <= 60).float().mean()),
        "plain_facing_front_within_90_deg": float((angle_between(plain, 0 * plain).abs() <= 90).float().mean()),
        "ddim_steps": STEPS,
        "guidance_scale": SCALE,
        "seconds": round(time.time() - began, 1),
    }
    return report(result, out)


def load_pipeline(folder: Path) -> Any:
    from diffusers import StableDiffusionPipeline
    from diffusers.utils.logging import disable_progress_bar

    disable_progress_bar()
    pipe: Any = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    pipe = pipe.to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample(
    pipe: Any, prompts: Sequence[str], seed: int, pictures: Float[Tensor, "B 3 R R"] | None = None
) -> Float[Tensor, "B 3 R R"]:
    """One image in [0, 1] for every prompt, from noise that depends on its number alone; pictures: for a ControlNet."""
    generator, images = torch.Generator().manual_seed(seed), []
    settings = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "output_type": "pt"}
    for part in (slice(first, first + BATCH) for first in range(0, len(prompts), BATCH)):
        seen = {} if pictures is None else {"image": pictures[part]}
        images.append(pipe(list(prompts[part]), generator=generator, **settings, **seen).images.float())
    return torch.cat(images)


def classify(judge: Menagerie, rgb: Float[Tensor, "B 3 R R"]) -> list[tuple[str, float, float]]:
    """Creature, azimuth (degrees) and PSNR to the image it most resembles (dB), for every sample."""
    out = []
    for image in rgb:
        z = judge.encode(image[None])
        belief = judge.posterior(z, torch.tensor([NOISE]), Condition(("",)))
        by_creature = dict.fromkeys(load(), 0.0)
        for name, share in zip(belief.creature, belief.probs[0].tolist(), strict=True):
            by_creature[name] += share
        name = max(by_creature, key=by_creature.__getitem__)
        mine = torch.tensor([other == name for other in belief.creature])
        best = int((belief.probs[0] * mine).argmax())
        nearest = judge.denoise(z, torch.tensor([1e-3]), Condition(("",)))
        psnr = -10 * float(((z - nearest) / 2).square().mean().clamp(min=1e-10).log10())
        out.append((name, float(belief.azimuth[best]), psnr))
    return out


def contact_sheet(rgb: Float[Tensor, "B 3 R R"], out: Path) -> None:
    """sheet.png: one labelled row per creature."""
    rows = rgb.unflatten(0, (len(load()), -1))
    height, width = rows.shape[-1], rows.shape[1]
    figure = Figure(figsize=(width + 1.5, len(rows)), layout="constrained")
    axis = figure.subplots()
    axis.imshow(rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2), interpolation="nearest")
    axis.set(xticks=[], yticks=[(row + 0.5) * height for row in range(len(rows))], yticklabels=list(load()))
    figure.savefig(out / "sheet.png", dpi=2 * height)
