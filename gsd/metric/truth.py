"""How close a turntable comes to a true animal of the menagerie, and how many faces it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.errors import GsdError
from gsd.geometry import angle_between, resize_depth, turned_to
from gsd.menagerie import Bank, build_bank, find, trace
from gsd.metric.parts.align import align
from gsd.metric.parts.faces import count_faces, from_front, shows_face, squared_distances
from gsd.metric.parts.similarity import detail, gmsd, ssim
from gsd.metric.parts.surface import geometry_errors
from gsd.protocols import Metric
from gsd.ranges import Variants
from gsd.types import Cameras, Context, Render

NOTHING_SEEN_DEG = 90.0  # the error of a view that shows no animal: that of a blind guess
LOST_DEG = 75.0  # a larger view error is no better than a guess
LEAST_DETAIL = 0.5  # of the true animal's; a featureless object has less
FOGGY = (0.02, 0.5)  # alpha of a pixel that shows neither the object nor the background
EMPTY = 0.01  # a pixel with less alpha shows the background alone


@dataclass
class Truth(Metric):
    """The truth metrics of a turntable: views equally spaced over one full turn, at one elevation.

    Every view is classified as the nearest image, in squared error, among all variants and azimuths of the creature.
    A view explained no better by that image than by its own mean colour shows nothing, which is what blank and noise
    pictures come to. Whatever the run's yaw is, is its own choice: metrics are those of the best yaw. Whatever its
    background is, it is replaced by white.

    A view shows a face when it is nearer to an image with a face than to any without. With a face are the images from
    within 60 degrees of the front, and those from elsewhere onto which a face has been pasted that is turned 60 degrees
    or more from where it belongs, because a second face may be small beside a back that is right. Without are the
    other images, and those from the front less their face parts. Faces are looked for where a front view has them.

    psnr_aligned     dB, the mean over views of the PSNR to the best variant at the best yaw (to half a degree), capped
                     at 100
    ssim_aligned     the same of the structural similarity, at most 1
    gmsd_aligned     the same of the gradient magnitude similarity deviation, a perceptual distance without learned
                     weights (this is not LPIPS), 0 for a perfect copy
    depth_error      world units: mean |difference| of depth on the pixels where both show the object
    chamfer          world units: mean distance from what the turntable's cameras see of one surface to the nearest of
                     what they see of the other, averaged over both directions
    silhouette_iou   intersection over union of the silhouettes (alpha above 0.5), mean over views
    yaw_deg, variant that best yaw, in [0, 360), and variant: the view at azimuth a shows the true animal from a + yaw
    view_error_deg   mean distance of the classified from the true azimuth, after the yaw (whole degrees) that makes it
                     least; 90 for a view that shows nothing
    face_fraction    fraction of views that show a face; about 0.35 for a true animal
    face_count       the least number of faces that explains them, if one is seen over at most 160 degrees of the circle
                     (a true animal's over 125); changes shorter than 6 degrees are smoothed away. 1 is right
    front_count      the same for views classified as seen from within 60 degrees of the front, face or not: a melted
                     face that is repeated all around is no face any more, but still a repeated front
    janus            1 when face_count or front_count is 2 or more and the scene is not empty, else 0. A summary has
                     coherent and turned too, the other two of the four outcomes: see gsd.results.outcome
    empty            1 when no view shows anything, or when no face is seen, view_error_deg is above 75 and the object,
                     such as a shaded ball, has less than half the detail of the true animal; else 0
    fog              mean alpha where the true animal is not, its edges left out; 0 for a perfect copy
    foggy_fraction   fraction of pixels with alpha between 0.02 and 0.5, at the turntable's resolution; edges alone have
                     less than 0.01

    What it cannot see: that an animal unlike the menagerie's is a good one; errors finer than `resolution`; what the
    turntable's elevation does not show. Distances are capped at 1, and an empty scene has 1. A depth that is a mean
    along the ray, as a renderer's is, lies behind the surface of a translucent object.

    resolution (pixels) is that of the comparison: renders are averaged down or up to it. Raises GsdError at
    construction when `prompt` names no creature.
    """

    context: Context
    resolution: Annotated[int, Interval(ge=11, le=512)] = 64
    variants: Variants = 4
    azimuths: Annotated[int, Interval(ge=8, le=360)] = 72

    def __post_init__(self) -> None:
        prompt = self.context.prompt
        try:
            self.creature = find(prompt)
        except GsdError:
            raise GsdError(
                f"metric=truth compares with the menagerie, which has no {prompt!r}; leave it out with metric=[]."
            ) from None

    @torch.no_grad()
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        order = cameras.azimuth.remainder(360).argsort().cpu()
        cameras = cameras.to("cpu")[order].resized(self.resolution, self.resolution)
        shown = self._resized(turntable, order)
        rgb, bank = shown.rgb, self._bank(cameras)
        distance = squared_distances(rgb, bank.rgb.float() / 255)

        nearest = distance.min(1)
        seen = nearest.values < (rgb - rgb.mean((2, 3), keepdim=True)).square().sum((1, 2, 3)).double()
        classified = bank.azimuth[nearest.indices]
        face = seen & shows_face(rgb, bank, self._faceless(bank, cameras), distance)
        count, fronts = count_faces(face), count_faces(seen & from_front(classified))
        mse = distance.view(len(rgb), self.variants, self.azimuths) / rgb[0].numel()
        best = align(rgb, cameras, self.creature, mse)
        error, faint = _view_error(classified, seen, cameras), detail(shown) < LEAST_DETAIL * detail(best.truth)
        empty = not seen.any() or (count == 0 and error > LOST_DEG and faint)
        return {
            "psnr_aligned": best.psnr,
            "ssim_aligned": float(ssim(rgb, best.truth.rgb).mean()),
            "gmsd_aligned": float(gmsd(rgb, best.truth.rgb).mean()),
            **geometry_errors(shown, best.truth, cameras),
            "view_error_deg": error,
            "face_fraction": float(face.float().mean()),
            "face_count": float(count),
            "front_count": float(fronts),
            "janus": float(max(count, fronts) >= 2 and not empty),
            "empty": float(empty),
            "fog": float(shown.alpha[best.truth.alpha == 0].mean()),
            "foggy_fraction": float(((turntable.alpha > FOGGY[0]) & (turntable.alpha < FOGGY[1])).float().mean()),
            "yaw_deg": best.yaw,
            "variant": float(best.variant),
        }

    def _resized(self, turntable: Render, order: Tensor) -> Render:
        """The views in this order over white, at the resolution of the comparison, on the CPU."""
        size = (self.resolution, self.resolution)
        small = interpolate(turntable.rgb, size, mode="area"), *resize_depth(turntable.depth, turntable.alpha, size)
        rgb, depth, alpha = (x.detach().cpu()[order] for x in small)
        return Render(_over_white(rgb, alpha).clamp(0, 1), depth, alpha)

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

    def _faceless(self, bank: Bank, cameras: Cameras) -> Float[Tensor, "F 3 R R"]:
        """The bank's images from the front, of the creature without its face parts."""
        azimuths = bank.azimuth[: self.azimuths]
        front = azimuths[from_front(azimuths)]
        around = turned_to(cameras[torch.zeros(len(front), dtype=torch.long)], front)
        figures = [self.creature.figure(variant) for variant in range(self.variants)]
        return torch.cat([trace(figure[~figure.face], around).rgb for figure in figures])


def _over_white(rgb: Float[Tensor, "V 3 H W"], alpha: Float[Tensor, "V 1 H W"]) -> Float[Tensor, "V 3 H W"]:
    """The views over white. The background is what their empty pixels show, and behind the others the mean of that."""
    empty = alpha < EMPTY
    count = empty.sum((2, 3), keepdim=True)
    mean = torch.where(count > 0, (rgb * empty).sum((2, 3), keepdim=True) / count.clamp(min=1), 1.0)
    return rgb + (1 - alpha) * (1 - torch.where(empty, rgb, mean))


def _view_error(classified: Float[Tensor, " K"], seen: Bool[Tensor, " K"], cameras: Cameras) -> float:
    error = (classified - cameras.azimuth)[:, None] - torch.arange(360.0)
    error = angle_between(error, torch.zeros_like(error)).abs()
    error = torch.where(seen[:, None], error, NOTHING_SEEN_DEG)
    return float(error.mean(0).min())
