"""The yaw and the individual of a creature that match a turntable best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.geometry import turned_to
from gsd.menagerie import Creature, trace
from gsd.metric.parts.similarity import psnr
from gsd.types import Cameras, Render


@dataclass(frozen=True)
class Alignment:
    """The view at azimuth a of the turntable shows the true animal from a + yaw."""

    psnr: float  # dB, mean over views
    yaw: float  # degrees, in [0, 360)
    variant: int
    truth: Render  # the true animal as the turntable's cameras would see it


def align(
    rgb: Float[Tensor, "K 3 R R"], cameras: Cameras, creature: Creature, mse: Float[Tensor, "K variants azimuths"]
) -> Alignment:
    """The best azimuth and variant of a bank by PSNR, then a search with decreasing steps of yaw on fresh renders.

    rgb: views equally spaced over one full turn; mse: of each view against each image of the bank, at R pixels.
    """
    azimuths = mse.shape[2]
    step = 360 / azimuths
    cell = (cameras.azimuth / step).round().long()[:, None] + torch.arange(azimuths)
    turned = mse.gather(2, (cell % azimuths)[:, None].expand_as(mse))
    best = int(psnr(turned).mean(0).argmax())
    figure, yaw = creature.figure(best // azimuths), best % azimuths * step

    def at(yaw: float) -> Alignment:
        truth = trace(figure, turned_to(cameras, cameras.azimuth + yaw))
        quality = psnr((rgb - truth.rgb).square().mean((1, 2, 3)).double()).mean()
        return Alignment(float(quality), yaw % 360, best // azimuths, truth)

    best_so_far = at(yaw)
    for offset in (step / 2.5, step / 5, step / 10):
        nearby = (best_so_far, at(best_so_far.yaw - offset), at(best_so_far.yaw + offset))
        best_so_far = max(nearby, key=lambda a: (a.psnr, a.yaw))
    return best_so_far
