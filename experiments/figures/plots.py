"""The style of the figures, and what several of them draw."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

try:
    from matplotlib import rcParams
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    sys.exit("The figures are drawn by matplotlib, which is not installed: pip install -r requirements-dev.txt")

rcParams.update({"font.family": "serif", "mathtext.fontset": "cm", "font.size": 9, "pdf.fonttype": 42})
rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9, "lines.linewidth": 1.3})
rcParams.update({"legend.frameon": False, "legend.fontsize": 8})
SEEN, MARGIN = 25 / 255, 0.01  # alpha from which a pixel is part of a scene; in parts of a picture's side
Window = tuple[float, float, float, float]  # left, top, right, bottom, in parts of a picture's sides


def figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Any:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), layout=layout)


def show(
    axis: Any, image: Any, title: str = "", label: str = "", loc: Literal["left", "center"] = "center", **options: Any
) -> None:
    """An image without ticks or frame, with a title above it and a label on its left."""
    axis.imshow(image, **options)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=8, pad=4, loc=loc)
    axis.text(-0.08, 0.5, label, fontsize=8, ha="right", va="center", transform=axis.transAxes)


def window(alphas: Iterable[Any]) -> Window:
    """The square around everything that square pictures with these alphas show; all of them where they show nothing."""
    boxes = []
    for alpha in map(np.asarray, alphas):
        places = np.argwhere(alpha > SEEN)[:, ::-1]  # x, y
        boxes += [np.concatenate([places.min(0), places.max(0) + 1]) / len(alpha)] if len(places) else []
    if not boxes:
        return 0.0, 0.0, 1.0, 1.0
    low, high = np.min(boxes, 0)[:2] - MARGIN, np.max(boxes, 0)[2:] + MARGIN
    side = min(1.0, float((high - low).max()))
    left, top = np.clip((low + high - side) / 2, 0, 1 - side)
    return float(left), float(top), float(left) + side, float(top) + side
