"""The colour behind a scene."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.random import Stream
from gsd.types import Cameras

Colour = Literal["white", "black"]


def behind(colour: str, random: float, cameras: Cameras, rng: Stream) -> Float[Tensor, "V 3"] | None:
    """The colour behind a scene in each view.

    Fog in front of a background that never changes is fitted to that colour and stays unseen; before changing ones it
    costs (threestudio, DreamGaussian).

    Args:
        colour: "white", "black", or any other for a background that is no colour.
        random: fraction of the training steps, those with graph, in which each group of views has a random colour.
        cameras: V views.
        rng: of the representation, at this step.

    Returns:
        rgb in [0, 1], or None for a background that is no colour.
    """
    if random > 0 and torch.is_grad_enabled():
        group = cameras.on_cpu.group
        draw = torch.rand(1 + 3 * (int(group.max()) + 1), generator=rng.sub("background").generator())
        if draw[0] < random:
            return draw[1:].view(-1, 3)[group].to(cameras.viewmats)
    level = {"white": 1.0, "black": 0.0}.get(colour)
    return None if level is None else cameras.viewmats.new_full((len(cameras), 3), level)
