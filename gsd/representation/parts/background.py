"""The colour behind a scene."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.random import Stream
from gsd.types import Cameras

Colour = Literal["white", "black"]


def filled(colour: str, cameras: Cameras) -> Float[Tensor, "V 3"]:
    """The same colour in all views; what is not white is black."""
    return cameras.viewmats.new_full((len(cameras), 3), 1.0 if colour == "white" else 0.0)


def drawn(fraction: float, cameras: Cameras, rng: Stream) -> Float[Tensor, "V 3"] | None:
    """In a fraction of the training steps a random colour for each group of views; else, and without graph, None.

    Fog in front of a background that never changes is fitted to that colour and stays unseen; before changing ones it
    costs (threestudio, DreamGaussian).
    """
    if fraction == 0 or not torch.is_grad_enabled():
        return None
    draw = torch.rand(1 + 3 * (int(cameras.group.max()) + 1), generator=rng.sub("background").generator())
    if draw[0] >= fraction:
        return None
    return draw[1:].view(-1, 3)[cameras.group.cpu()].to(cameras.viewmats)
