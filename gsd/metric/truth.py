"""How close a turntable comes to a true animal of the menagerie, and how many faces it has."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.geometry import angle_between, orbit
from gsd.menagerie import Bank, build_bank, find, trace
from gsd.types import Cameras, Render

FACE_DEG = 60.0  # a view from within this of the front shows the face
FACE_WIDTH_DEG = 125.0  # of the circle, over which a true animal shows it: 2 FACE_DEG and a step of the bank
FLICKER_DEG = 6.0  # shorter changes between face and no face are smoothed away
NOTHING_SEEN_DEG = 90.0  # the error of a view that shows no animal: that of a blind guess
LEAST_MSE = 1e-10  # of a perfect copy: 100 dB


class Truth:
    """The truth metrics of a turntable: views equally spaced over one full turn, at one elevation.

    Every view is classified as the nearest image, in squared error, among all variants and azimuths of the creature.
    A view explained no better by that image than by its own mean colour shows nothing and has no face, which is what
    blank and noise pictures come to. Whatever the run's yaw is, is its own choice: metrics are those of the best yaw.

    psnr_aligned     dB, the mean over views of the PSNR to the best variant at the best yaw (to half a degree), capped
                     at 100
    yaw_deg, variant that best yaw, in [0, 360), and variant: the view at azimuth a shows the true animal from a + yaw
    view_error_deg   mean distance of the classified from the true azimuth, after the yaw (whole degrees) that makes it
                     least; 90 for a view that shows nothing
    face_fraction    fraction of views classified within 60 degrees of the front; about 0.35 for a true animal
    face_count       separate runs of such views around the circle, each counted once per 125 degrees that it spans
                     (rounded, at least once), so that a face all around is not taken for one; 1 is right
    janus            1 when face_count >= 2, else 0

    resolution (pixels) is that of the comparison: renders are averaged down or up to it. Raises GsdError at
    construction when `prompt` names no creature.
    """

    def __init__(
        self,
        prompt: str,
        resolution: Annotated[int, Field(ge=8, le=512)] = 64,
        variants: PositiveInt = 4,
        azimuths: Annotated[int, Field(ge=8, le=360)] = 72,
    ) -> None:
        self.creature = find(prompt)
        self.resolution, self.variants, self.azimuths = resolution, variants, azimuths

    @torch.no_grad()
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        order = cameras.azimuth.remainder(360).argsort().cpu()
        cameras = cameras.to("cpu")[order].resized(self.resolution, self.resolution)
        rgb = interpolate(turntable.rgb.detach(), (self.resolution, self.resolution), mode="area")
        rgb = rgb.cpu()[order].clamp(0, 1)
        bank = self._bank(cameras)
        distance = _squared_distances(rgb, bank)

        nearest = distance.min(1)
        spread = (rgb - rgb.mean((2, 3), keepdim=True)).square().sum((1, 2, 3)).double()
        seen = nearest.values < spread
        classified = bank.azimuth[nearest.indices]
        face = seen & (angle_between(classified, torch.zeros(())).abs() <= FACE_DEG)
        count = _count_faces(face)
        psnr, yaw, variant = self._align(rgb, cameras, distance / rgb[0].numel())
        return {
            "psnr_aligned": psnr,
            "view_error_deg": _view_error(classified, seen, cameras),
            "face_fraction": float(face.float().mean()),
            "face_count": float(count),
            "janus": float(count >= 2),
            "yaw_deg": yaw,
            "variant": float(variant),
        }

    def _bank(self, cameras: Cameras) -> Bank:
        """The creature as cameras like these see it."""
        fov = 2 * torch.rad2deg(torch.atan(cameras.height / 2 / cameras.Ks[0, 1, 1]))
        return build_bank(
            self.creature,
            resolution=self.resolution,
            fov=round(float(fov), 3),
            distance=round(float(cameras.distance[0]), 4),
            variants=self.variants,
            azimuths=self.azimuths,
            elevations=(round(float(cameras.elevation[0]), 3),),
        )

    def _align(
        self, rgb: Float[Tensor, "K 3 R R"], cameras: Cameras, mse: Float[Tensor, "K M"]
    ) -> tuple[float, float, int]:
        """PSNR, yaw and variant: the best of the bank's azimuths, then ever smaller steps against fresh renders."""
        step = 360 / self.azimuths
        by_view = mse.view(len(rgb), self.variants, self.azimuths)
        cell = (cameras.azimuth / step).round().long()[:, None] + torch.arange(self.azimuths)
        turned = by_view.gather(2, (cell % self.azimuths)[:, None].expand_as(by_view))
        best = int(_psnr(turned).mean(0).argmax())
        variant, yaw = best // self.azimuths, best % self.azimuths * step

        def score(yaw: float) -> float:
            turned = _turned(cameras, yaw)
            truth = trace(self.creature.figure(variant), turned).rgb
            return float(_psnr((rgb - truth).square().mean((1, 2, 3)).double()).mean())

        psnr = score(yaw)
        for offset in (step / 2.5, step / 5, step / 10):
            psnr, yaw = max((psnr, yaw), *((score(yaw + side * offset), yaw + side * offset) for side in (-1, 1)))
        return psnr, yaw % 360, variant


def _turned(cameras: Cameras, yaw: float) -> Cameras:
    """The same cameras, `yaw` degrees further around."""
    focal = cameras.Ks[:, 1, 1]
    fov = 2 * torch.rad2deg(torch.atan(cameras.height / 2 / focal))
    return orbit(
        cameras.azimuth + yaw, cameras.elevation, cameras.distance, fov, cameras.width, cameras.height, cameras.group
    )


def _squared_distances(rgb: Float[Tensor, "K 3 R R"], bank: Bank) -> Float[Tensor, "K M"]:
    """|view - image|^2 with rgb in [0, 1], in float64."""
    images = bank.rgb.flatten(1).double() / 255
    centre = images.mean(0)  # small numbers lose fewer digits
    images, views = images - centre, rgb.flatten(1).double() - centre
    squared = views.square().sum(1)[:, None] + images.square().sum(1) - 2 * views @ images.T
    return squared.clamp(min=0)


def _psnr(mse: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    return -10 * torch.log10(mse.clamp(min=LEAST_MSE))


def _view_error(classified: Float[Tensor, " K"], seen: Bool[Tensor, " K"], cameras: Cameras) -> float:
    offset = (classified - cameras.azimuth)[:, None]
    error = angle_between(offset, torch.arange(360.0)).abs()
    error = torch.where(seen[:, None], error, NOTHING_SEEN_DEG)
    return float(error.mean(0).min())


def _count_faces(face: Bool[Tensor, " K"]) -> int:
    """Runs of True around the circle, each counted once per FACE_WIDTH_DEG."""
    views = len(face)
    reach = int(FLICKER_DEG * views / 360)
    votes = torch.stack([face.roll(shift) for shift in range(-reach, reach + 1)]).float().mean(0)
    smooth = votes > 0.5
    if bool(smooth.all()):
        lengths = [views]
    else:
        start = int((~smooth).nonzero()[0])  # begin outside a run, so that none is cut in two
        runs = "".join("#" if on else " " for on in smooth.roll(-start).tolist()).split()
        lengths = [len(run) for run in runs]
    return sum(max(1, round(length * 360 / views / FACE_WIDTH_DEG)) for length in lengths)
