"""The table at the end of a run: how good it is, how many faces it has, what it cost, what to open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gsd.results.folder import STAGES, RunFolder
from gsd.results.outcome import outcome, verdict
from gsd.results.quantities import QUANTITIES
from gsd.results.runs import Run
from gsd.runner.watch import Watcher

QUALITY = ("psnr_aligned", "silhouette_iou", "view_error_deg", "foggy_fraction", "clip_score", "clip_r_precision")
WIDTH = max(len(QUANTITIES[name].label) for name in QUALITY)


class Result(Watcher):
    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder.path

    def done(self, summary: dict[str, Any]) -> None:
        for name, text in rows(summary, self.folder):
            print(f"{name:<{WIDTH}} {text}")  # unwrapped, so that the path can be copied


def rows(summary: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """What the table says; numbers that were not measured are left out."""
    quality = [(QUANTITIES[name].label, QUANTITIES[name].text(summary[name])) for name in QUALITY if name in summary]
    scenes = summary.get("particles", [summary])
    opened = [name for name in ("turntable.mp4", "scene.ply") if (folder / name).exists()]
    stages = [(f"stage {name}", str(folder / STAGES / name)) for name in Run(folder).config.get("stages") or ()]
    return [
        *quality,
        *([("verdict", "; ".join(map(verdict, scenes)))] if all(map(outcome, scenes)) else []),
        ("time", f"{summary['seconds']:.1f} s, {summary['prior_calls']} images denoised"),
        *([("open", f"{', '.join(opened)} in {folder}")] if opened else []),
        *stages,
    ]
