"""metric=clip_view on animals whose faces are known: true ones, with a second face on the back, and without any.

Experiments show these results beside those of clip_view on runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from gsd.menagerie import Ellipsoids, find, trace
from gsd.metric.clip_view import ClipView
from gsd.types import Cameras

Kind = Literal["true", "two-faced", "faceless"]
UNSEEN = 3  # the last listed individual of every creature; no prior and no CLIP of gsd was trained on it


def prompt(name: str) -> str:
    """The prompt for a creature of the menagerie in the experiments."""
    return f"a full body of {'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def known(metric: ClipView, kind: Kind, prompts: Sequence[str], cameras: Cameras) -> list[dict[str, Any]]:
    """The metric's values for every prompt's creature: its individual UNSEEN with the faces of `kind`.

    Raises GsdError for a prompt that names no creature.
    """
    figures = [with_faces(kind, find(text).figure(UNSEEN)) for text in prompts]
    return [metric(trace(figure, cameras), cameras, text) for text, figure in zip(prompts, figures, strict=True)]


def with_faces(kind: Kind, figure: Ellipsoids) -> Ellipsoids:
    if kind == "two-faced":
        return figure.two_faced()
    return figure[~figure.face] if kind == "faceless" else figure


Numbers = Sequence[float] | Float[np.ndarray, " _"]


def area(above: Numbers, below: Numbers) -> float:
    """Area under the ROC curve: the probability that one of `above` exceeds one of `below`; ties count half."""
    one, other = np.asarray(above)[:, None], np.asarray(below)
    return float(np.mean((one > other) + 0.5 * (one == other)))
