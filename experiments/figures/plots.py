"""The style of the figures, and what several of them draw."""

from __future__ import annotations

from typing import Any, Literal

from matplotlib import rcParams
from matplotlib.figure import Figure

rcParams.update({"font.family": "serif", "mathtext.fontset": "cm", "font.size": 9, "pdf.fonttype": 42})


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
