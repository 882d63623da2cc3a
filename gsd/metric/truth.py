"""How close a turntable comes to a true animal of the menagerie, and how many faces it has."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.errors import GsdError
from gsd.geometry import angle_between, orbit
from gsd.menagerie import Bank, build_bank, find, trace
from gsd.types import Cameras, Render

FACE_DEG = 60.0  # a view from within this of the front shows the face
FACE_CONTRAST = 0.03  # a pixel is part of the face where taking the face away changes it by more
FRONTAL_DEG = 30.0  # a misplaced face is looked for as it looks from within this of its front
FACE_SPAN_DEG = 160.0  # of the circle, over which one face can be seen: a true animal's takes 125, the rest is slack
FLICKER_DEG = 6.0  # shorter changes between face and no face are smoothed away
NOTHING_SEEN_DEG = 90.0  # the error of a view that shows no animal: that of a blind guess
LEAST_MSE = 1e-10  # of a perfect copy: 100 dB


class Truth:
    """The truth metrics of a turntable: views equally spaced over one full turn, at one elevation.

    Every view is classified as the nearest image, in squared error, among all variants and azimuths of the creature.
    A view explained no better by that image than by its own mean colour shows nothing, which is what blank and noise
    pictures come to. Whatever the run's yaw is, is its own choice: metrics are those of the best yaw.

    A view shows a face when it is nearer to an image with a face than to any without. With a face are the images from
    within 60 degrees of the front, and those from elsewhere onto which a face has been pasted that is turned 60 degrees
    or more from where it belongs, because a second face may be small beside a back that is right. Without are the
    other images, and those from the front less their face parts. Faces are looked for where a front view has them.

    psnr_aligned     dB, the mean over views of the PSNR to the best variant at the best yaw (to half a degree), capped
                     at 100
    yaw_deg, variant that best yaw, in [0, 360), and variant: the view at azimuth a shows the true animal from a + yaw
    view_error_deg   mean distance of the classified from the true azimuth, after the yaw (whole degrees) that makes it
                     least; 90 for a view that shows nothing
    face_fraction    fraction of views that show a face; about 0.35 for a true animal
    face_count       the least number of faces that explains them, if one is seen over at most 160 degrees of the circle
                     (a true animal's over 125); changes shorter than 6 degrees are smoothed away. 1 is right
    front_count      the same for views classified as seen from within 60 degrees of the front, face or not: a melted
                     face that is repeated all around is no face any more, but still a repeated front
    janus            1 when face_count or front_count is 2 or more, else 0

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
        try:
            self.creature = find(prompt)
        except GsdError:
            raise GsdError(
                f"metric=truth compares with the menagerie, which has no {prompt!r}; leave it out with metric=[]."
            ) from None
        self.resolution, self.variants, self.azimuths = resolution, variants, azimuths

    @torch.no_grad()
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        order = cameras.azimuth.remainder(360).argsort().cpu()
        cameras = cameras.to("cpu")[order].resized(self.resolution, self.resolution)
        rgb = interpolate(turntable.rgb.detach(), (self.resolution, self.resolution), mode="area")
        rgb = rgb.cpu()[order].clamp(0, 1)
        bank = self._bank(cameras)
        distance = _squared_distances(rgb, bank.rgb.float() / 255)

        nearest = distance.min(1)
        spread = (rgb - rgb.mean((2, 3), keepdim=True)).square().sum((1, 2, 3)).double()
        seen = nearest.values < spread
        classified = bank.azimuth[nearest.indices]
        face = seen & self._faces(rgb, bank, cameras, distance)
        front = seen & (angle_between(classified, torch.zeros_like(classified)).abs() <= FACE_DEG)
        count, fronts = _count_faces(face), _count_faces(front)
        psnr, yaw, variant = self._align(rgb, cameras, distance / rgb[0].numel())
        return {
            "psnr_aligned": psnr,
            "view_error_deg": _view_error(classified, seen, cameras),
            "face_fraction": float(face.float().mean()),
            "face_count": float(count),
            "front_count": float(fronts),
            "janus": float(max(count, fronts) >= 2),
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

    def _faces(
        self, rgb: Float[Tensor, "K 3 R R"], bank: Bank, cameras: Cameras, distance: Float[Tensor, "K M"]
    ) -> Bool[Tensor, " K"]:
        """Which views show a face: those nearer to an image with a face than to any without."""
        front = angle_between(bank.azimuth, torch.zeros_like(bank.azimuth)).abs() <= FACE_DEG
        faceless = self._faceless(bank, cameras)
        without = torch.cat([distance[:, ~front], _squared_distances(rgb, faceless[front])], 1).amin(1)
        nearest = distance[:, front].amin(1)
        images, bare, views = bank.rgb.flatten(1).float() / 255, faceless.flatten(1), rgb.flatten(1)
        facing = angle_between(bank.azimuth, torch.zeros_like(bank.azimuth)).abs() <= FRONTAL_DEG
        for index in facing.nonzero()[:, 0]:
            region = ((images[index] - bare[index]).abs().view(3, -1).amax(0) > FACE_CONTRAST).repeat(3)
            apart = bank.azimuth - bank.azimuth[index]
            misplaced = angle_between(apart, torch.zeros_like(apart)).abs() >= FACE_DEG
            bodies = (~front & misplaced & (bank.variant == bank.variant[index])).nonzero()[:, 0]
            seen = views[:, region]
            pasted = (seen - images[index, region]).square().sum(1, keepdim=True)
            covered = torch.cdist(seen, images[bodies][:, region]).square()
            nearest = torch.minimum(nearest, (distance[:, bodies] - covered + pasted).amin(1))
        return nearest < without

    def _faceless(self, bank: Bank, cameras: Cameras) -> Float[Tensor, "M 3 R R"]:
        """The bank's images of the creature without its face parts."""
        around = _at(cameras[torch.zeros(self.azimuths, dtype=torch.long)], bank.azimuth[: self.azimuths])
        figures = [self.creature.figure(variant) for variant in range(self.variants)]
        return torch.cat([trace(figure[~figure.face], around).rgb for figure in figures])

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
            truth = trace(self.creature.figure(variant), _at(cameras, cameras.azimuth + yaw)).rgb
            return float(_psnr((rgb - truth).square().mean((1, 2, 3)).double()).mean())

        psnr = score(yaw)
        for offset in (step / 2.5, step / 5, step / 10):
            psnr, yaw = max((psnr, yaw), *((score(yaw + side * offset), yaw + side * offset) for side in (-1, 1)))
        return psnr, yaw % 360, variant


def _at(cameras: Cameras, azimuth: Float[Tensor, " V"]) -> Cameras:
    """The same cameras at other azimuths (degrees)."""
    fov = 2 * torch.rad2deg(torch.atan(cameras.height / 2 / cameras.Ks[:, 1, 1]))
    return orbit(azimuth, cameras.elevation, cameras.distance, fov, cameras.width, cameras.height, cameras.group)


def _squared_distances(rgb: Float[Tensor, "K 3 R R"], images: Float[Tensor, "N 3 R R"]) -> Float[Tensor, "K N"]:
    """|view - image|^2 with rgb in [0, 1], in float64."""
    images = images.flatten(1).double()
    centre = images.mean(0)  # small numbers lose fewer digits
    images, views = images - centre, rgb.flatten(1).double() - centre
    squared = views.square().sum(1)[:, None] + images.square().sum(1) - 2 * views @ images.T
    return squared.clamp(min=0)


def _psnr(mse: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    return -10 * torch.log10(mse.clamp(min=LEAST_MSE))


def _view_error(classified: Float[Tensor, " K"], seen: Bool[Tensor, " K"], cameras: Cameras) -> float:
    error = (classified - cameras.azimuth)[:, None] - torch.arange(360.0)
    error = angle_between(error, torch.zeros_like(error)).abs()
    error = torch.where(seen[:, None], error, NOTHING_SEEN_DEG)
    return float(error.mean(0).min())


def _count_faces(face: Bool[Tensor, " K"]) -> int:
    """The least number of arcs of FACE_SPAN_DEG that hold all views which show a face, flickers left out."""
    views = len(face)
    reach = int(FLICKER_DEG * views / 360)
    votes = torch.stack([face.roll(shift) for shift in range(-reach, reach + 1)]).float().mean(0)
    smooth = (votes > 0.5).tolist()
    span = math.floor(FACE_SPAN_DEG * views / 360) + 1  # views in an arc, both ends included

    def arcs_from(start: int) -> int:
        count, offset = 0, 0
        while offset < views:
            found = smooth[(start + offset) % views]
            count, offset = count + found, offset + (span if found else 1)
        return count

    return min((arcs_from(start) for start in range(views) if smooth[start]), default=0)
