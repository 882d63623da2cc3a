"""What metrics say of a scene: its turntable, the numbers, their means over particles."""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch

from gsd.protocols import Metric, Representation
from gsd.results.outcome import shares
from gsd.types import Cameras, Render

CHUNK = 8  # views rendered at a time


def render_turntable(scene: Representation, cameras: Cameras) -> Render:
    """Every view of the evaluation cameras, a few at a time."""
    parts = [scene.render(cameras[views]) for views in torch.arange(len(cameras)).split(CHUNK)]
    backgrounds = [part.background for part in parts if part.background is not None]
    rgb, depth, alpha = (torch.cat([getattr(part, name) for part in parts]) for name in ("rgb", "depth", "alpha"))
    return Render(rgb, depth, alpha, background=torch.cat(backgrounds) if backgrounds else None)


def measure(metrics: dict[str, Metric], show: Render, cameras: Cameras, prompt: str) -> dict[str, Any]:
    """What all metrics say of a turntable, and its outcome: 1 for one of the four, 0 for the others."""
    measured: dict[str, Any] = {}
    for metric in metrics.values():
        measured |= metric(show, cameras, prompt)
    # What a turntable of so few views does not determine is nan, which JSON does not have
    measured = {name: value for name, value in measured.items() if isinstance(value, list) or math.isfinite(value)}
    return measured | shares(measured)


def means(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """Of the numbers; curves are left to each scene's own."""
    everywhere = set.intersection(*(set(each) for each in metrics))
    numbers = [name for name, value in metrics[0].items() if name in everywhere and not isinstance(value, list)]
    return {name: statistics.mean(each[name] for each in metrics) for name in numbers}
