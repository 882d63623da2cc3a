"""How much the picture changes from one view of a turntable to the next."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Interval
from torch.nn.functional import interpolate

from gsd.metric.parts.lpips import Lpips
from gsd.metric.parts.similarity import sharpness, ssim
from gsd.protocols import Metric
from gsd.types import Cameras, Context, Render


class ALpips(Metric):
    """A-LPIPS (Hong et al. 2023): the mean perceptual distance of adjacent views of one full turn; lower is steadier.

    a_dssim     without `weights`: the mean 1 - SSIM of adjacent views, which needs none. It stands in the place of
                A-LPIPS and has other values; of the measures tried it told noise and flicker best from mere turning
    a_lpips     with `weights`: the mean LPIPS (Zhang et al. 2018) with AlexNet, version 0.1, by the package lpips
    sharpness   mean slope of the luminance on the object, per pixel: to be read beside them, because blur is rewarded

    What it cannot see: a Janus (more faces are no less steady) and whether the animal is right at all; an empty scene
    scores best. The distance grows with the angle between views: compare turntables of equally many views only.

    weights: torchvision's AlexNet, a file such as alexnet-owt-7be5be79.pth. resolution (pixels) is that of the
    comparison: renders are averaged down or up to it.
    """

    def __init__(
        self,
        context: Context,
        weights: str | None = None,
        resolution: Annotated[int, Interval(ge=16, le=1024)] = 128,
    ) -> None:
        self.lpips = None if weights is None else Lpips(weights, context.device)
        self.resolution = resolution

    @torch.no_grad()
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        size = (self.resolution, self.resolution)
        order = cameras.azimuth.remainder(360).argsort()
        rgb, alpha = (interpolate(x[order], size, mode="area") for x in (turntable.rgb.clamp(0, 1), turntable.alpha))
        following = rgb.roll(-1, 0)
        if self.lpips is None:
            measured = {"a_dssim": float(1 - ssim(rgb, following).mean())}
        else:
            measured = {"a_lpips": float(self.lpips(rgb, following).mean())}
        return {**measured, "sharpness": float(sharpness(rgb, alpha))}
