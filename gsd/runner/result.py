"""The table at the end of a run: how good it is, how many faces it has, what it cost, what to open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gsd.results.folder import RunFolder
from gsd.runner.watch import Watcher

# number of the summary -> its row: what it is called, and its format
QUALITY = {
    "psnr_aligned": ("PSNR to the true animal", "{:.1f} dB"),
    "silhouette_iou": ("silhouette IoU", "{:.2f}"),
    "view_error_deg": ("view error", "{:.0f} degrees"),
    "foggy_fraction": ("foggy pixels", "{:.1%}"),
    "clip_score": ("CLIP score", "{:.3f}"),
    "clip_r_precision": ("CLIP R-precision", "{:.0%}"),
}
WIDTH = max(len(label) for label, _ in QUALITY.values())


class Result(Watcher):
    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder.path

    def done(self, summary: dict[str, Any]) -> None:
        for name, text in rows(summary, self.folder):
            print(f"{name:<{WIDTH}} {text}")  # unwrapped, so that the path can be copied


def rows(summary: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """What the table says; numbers that were not measured are left out."""
    quality = [(label, text.format(summary[name])) for name, (label, text) in QUALITY.items() if name in summary]
    scenes = summary.get("particles", [summary])
    opened = [name for name in ("turntable.mp4", "scene.ply") if (folder / name).exists()]
    return [
        *quality,
        *([("verdict", "; ".join(map(verdict, scenes)))] if "janus" in summary else []),
        ("time", f"{summary['seconds']:.1f} s, {summary['prior_calls']} images denoised"),
        *([("open", f"{', '.join(opened)} in {folder}")] if opened else []),
    ]


def verdict(metrics: dict[str, Any]) -> str:
    """The truth metrics of one scene in a few words."""
    if metrics["empty"]:
        return "empty: nothing that could have a face"
    if metrics["janus"]:
        return f"Janus: {max(metrics['face_count'], metrics['front_count']):.0f} fronts"
    return "one front" if metrics["front_count"] == 1 else "no front is seen"
