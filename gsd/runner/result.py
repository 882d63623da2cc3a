"""The table at the end of a run: how good it is, how many faces it has, what it cost, what to open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gsd.results.folder import STAGES
from gsd.results.outcome import outcome, verdict
from gsd.results.quantities import QUANTITIES
from gsd.results.reading import finite
from gsd.results.runs import Run

QUALITY = (
    "psnr_aligned", "silhouette_iou", "view_error_deg", "face_count", "foggy_fraction", "fog", "clip_score",
    "clip_r_precision",
)  # fmt: skip
WIDTH = max(len(QUANTITIES[name].label) for name in QUALITY)
OPENED = ("turntable.mp4", "turntable_dark.mp4", "scene.ply")


def show(run: Run) -> None:
    for name, text in rows(run.summary, run.path):
        print(f"{name:<{WIDTH}} {text}")  # unwrapped, so that the path can be copied


def rows(summary: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """What the table says; numbers that were not measured are left out."""
    measured = [name for name in QUALITY if finite(summary.get(name))]
    scenes = summary.get("particles") or [summary]
    cost = [summary.get(name) for name in ("seconds", "prior_calls")]
    opened = [name for name in OPENED if (folder / name).exists()]
    stages = [(f"stage {name}", str(folder / STAGES / name)) for name in Run(folder).config.get("stages") or ()]
    return [
        *((QUANTITIES[name].label, QUANTITIES[name].text(summary[name])) for name in measured),
        *([("verdict", "; ".join(map(verdict, scenes)))] if all(map(outcome, scenes)) else []),
        *([("time", f"{cost[0]:.1f} s, {cost[1]:.0f} images denoised")] if all(map(finite, cost)) else []),
        *([("open", f"{', '.join(opened)} in {folder}")] if opened else []),
        *stages,
    ]
