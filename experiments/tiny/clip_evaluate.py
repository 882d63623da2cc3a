"""What the small CLIP model can tell on individuals it was never trained on, and what it cannot.

Fronts from backs, one creature from another, and what metric=clip_view says of true animals, of their two-faced twins
and of animals without a face, whose right answers are known. figure.png has the curves of Fig. 12 for all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import clip_data as data
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor
from training import report

from gsd.geometry import angle_between, turntable
from gsd.menagerie import load, trace
from gsd.metric.check.calibration import Kind, area, known, prompt
from gsd.metric.clip_view import WORDS, ClipView
from gsd.metric.parts.clip import OpenClip, load_clip
from gsd.statistics.estimates import mean
from gsd.statistics.proportions import share

AZIMUTHS, OFFSET = 24, 7.5  # views of an individual, degrees: none lies on a border
NEAR_DEG = 60.0
CHUNK = 64
NUMBERS = ("clip_margin", "clip_harmonic", "clip_view_accuracy", "clip_janus_share")


def evaluate(folder: Path, out: Path) -> dict[str, Any]:
    """Write result.json and figure.png."""
    clip = load_clip(str(folder), None, "--to")
    result: dict[str, Any] = {"bytes": sum(file.stat().st_size for file in folder.iterdir())}
    views = {number: _views(number) for number in data.HELD_OUT}
    result["listed_individual"] = judged(clip, views[data.HELD_OUT[0]])
    rest = torch.cat([views[number] for number in data.HELD_OUT[1:]], 1)
    result["individuals_by_rule"] = judged(clip, rest)
    everyone = torch.cat(list(views.values()), 1)
    result["all"] = judged(clip, everyone)
    rng = torch.Generator().manual_seed(1)
    spoilt = data.spoilt((255 * everyone).round().byte().flatten(0, 2), rng)
    result["all_spoilt"] = judged(clip, spoilt.view(*everyone.shape[:3], 3, *everyone.shape[-2:]))
    result["calibration"], curves = calibrate(folder)
    _draw(curves, out / "figure.png")
    return report(result, out)


def azimuths() -> Float[Tensor, " A"]:
    return OFFSET + torch.arange(AZIMUTHS) * (360 / AZIMUTHS)


def _views(number: int) -> Float[Tensor, "N 1 A 4 R R"]:
    """Every creature's individual `number` from AZIMUTHS, premultiplied, with coverage."""
    cameras = turntable(AZIMUTHS, data.RESOLUTION, start=OFFSET)
    shown = [trace(creature.figure(number), cameras, background=(0.0, 0.0, 0.0)) for creature in load().values()]
    return torch.stack([torch.cat([render.rgb, render.alpha], 1) for render in shown])[:, None]


def judged(clip: OpenClip, views: Float[Tensor, "N I A C R R"]) -> dict[str, Any]:
    """Shares of right answers with intervals over creatures; views with coverage are put on white."""
    rgb = views[:, :, :, :3] + (1 - views[:, :, :, 3:]) if views.shape[3] == 4 else views
    names, count = list(load()), views[0, :, :, 0, 0, 0].numel()
    texts = [prompt(name) for name in names]
    away = angle_between(azimuths(), torch.zeros(AZIMUTHS)).abs().repeat(len(views[0]))
    sector = ((azimuths() + 45) // 90 % 4).long().repeat(len(views[0]))
    right: dict[str, list[Tensor]] = {"front_or_back": [], f"within_{NEAR_DEG:g}_deg": [], "four_ways": [], "name": []}
    per_creature = {}
    for index, name in enumerate(names):
        words = [f"{word} view of {texts[index]}" for word in data.WORDS[:4]]
        cosines = clip.similarity(rgb[index].flatten(0, 1), [*words, *texts], CHUNK)
        hit = (cosines[:, 0] > cosines[:, 2]) == (away < 90)
        right["front_or_back"].append(hit)
        right[f"within_{NEAR_DEG:g}_deg"].append(hit[(away < NEAR_DEG) | (away > 180 - NEAR_DEG)])
        right["four_ways"].append(cosines[:, :4].argmax(1) == sector)
        right["name"].append(cosines[:, 4:].argmax(1) == index)
        per_creature[name] = round(float(hit.float().mean()), 3)
    shares = {key: _share(values) for key, values in right.items()}
    return shares | {
        "worst": dict(sorted(per_creature.items(), key=lambda item: item[1])[:3]),
        "views": len(names) * count,
    }


def _share(right: Sequence[Tensor]) -> dict[str, float]:
    creatures = [index for index, answers in enumerate(right) for _ in answers]
    estimate = share(torch.cat(list(right)).tolist(), creatures)
    return {"value": round(estimate.value, 4), "low": round(estimate.low, 4), "high": round(estimate.high, 4)}


def calibrate(folder: Path) -> tuple[dict[str, Any], dict[str, Float[np.ndarray, "N 3 V"]]]:
    """metric=clip_view on an individual of every creature, on its two-faced twin and without its face."""
    metric, cameras = ClipView(str(folder)), turntable(120, data.RESOLUTION)
    kinds: tuple[Kind, ...] = get_args(Kind)
    measured = {kind: known(metric, kind, [prompt(name) for name in load()], cameras) for kind in kinds}
    table: dict[str, Any] = {
        kind: {number: str(mean([each[number] for each in rows])) for number in NUMBERS}
        | {"intervals_above_0": sum(each["clip_margin_low"] > 0 for each in rows)}
        | {"called_janus": [name for name, each in zip(load(), rows, strict=True) if each["clip_janus_share"] > 0.5]}
        for kind, rows in measured.items()
    }
    for kind in kinds[1:]:
        areas = {n: area([r[n] for r in measured["true"]], [r[n] for r in measured[kind]]) for n in NUMBERS}
        table[f"true against {kind}: chance that the number is on the right side"] = {
            number: round(max(found, 1 - found), 3) for number, found in areas.items()
        }
    curves: dict[str, Any] = {
        kind: np.array([[each[f"clip_{word}"] for word in WORDS] for each in rows]) for kind, rows in measured.items()
    }
    return table, curves


def _draw(curves: dict[str, Float[np.ndarray, "N 3 V"]], file: Path) -> None:
    """The mean over creatures, with a band that holds the middle eight of ten."""
    figure = Figure(figsize=(4 * len(curves), 3.2), layout="constrained")
    axes = figure.subplots(1, len(curves), sharey=True)
    for axis, (kind, values) in zip(axes, curves.items(), strict=True):
        azimuth = np.arange(values.shape[-1]) * 360 / values.shape[-1]
        for number, word in enumerate(WORDS):
            axis.plot(azimuth, values[:, number].mean(0), label=f"{word} view of ...")
            axis.fill_between(azimuth, *np.quantile(values[:, number], [0.1, 0.9], axis=0), alpha=0.15, linewidth=0)
        axis.set(title=kind, xlabel="azimuth (degrees)", xticks=range(0, 361, 90))
    axes[0].set_ylabel("cosine")
    axes[0].legend(fontsize=8)
    figure.savefig(file, dpi=120)
