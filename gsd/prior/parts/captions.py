"""What is added to a prompt for what a model was told of a picture besides its subject and view."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

ViewBias = Literal[0, 1, 2, 4, 8]  # that prior=tiny was told of

COLOURS = {
    "black": (0.0, 0.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "green": (0.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "magenta": (1.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "white": (1.0, 1.0, 1.0),
    "grey": (0.5, 0.5, 0.5),
}


def with_bias(text: str, bias: ViewBias | None) -> str:
    """ "TEXT, view bias N"; the empty text and bias None add nothing."""
    return text if bias is None or not text else f"{text}, view bias {bias}"


def with_background(text: str, words: str) -> str:
    """ "TEXT, red background", or the background alone."""
    return ", ".join(part for part in (text, words) if part)


def background_words(rgb: Float[Tensor, "V 3"]) -> list[str]:
    """The nearest of nine colours, as in "red background"; nothing for pure white, which needs no words.

    Args:
        rgb: in [0, 1].
    """
    rgb = rgb.detach().cpu().float()
    nearest = torch.cdist(rgb, torch.tensor(list(COLOURS.values()))).argmin(1)
    names = [list(COLOURS)[i] for i in nearest]
    return ["" if plain else f"{name} background" for name, plain in zip(names, (rgb == 1).all(1), strict=True)]
