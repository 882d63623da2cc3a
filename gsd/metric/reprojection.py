"""Whether the views of a turntable agree on the surface that its own depth says they share."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate, max_pool2d

from gsd.geometry import co_visible, correspond, in_bounds, resize_depth, sample
from gsd.metric.parts.features import gradient_features
from gsd.metric.parts.turn import neighbours
from gsd.protocols import Metric
from gsd.ranges import Length
from gsd.types import Cameras, Render

NEVER = 1e6  # world units: the depth of nothing


@dataclass
class Reprojection(Metric):
    """Every view is warped to those `apart_deg` on either side of it by the depth that was rendered with it.

    photometric_error   mean |difference| of rgb over the pixels that both see, in [0, 1]
    reprojection_error  world units: mean |difference| between a point's depth in the other view and the depth rendered
                        there, over the same pixels; below `tolerance` by construction
    feature_error       1 - cosine of features over the same pixels, in [0, 2]: MEt3R (Asim et al. 2025) with the known
                        geometry in the place of an estimated one, and with gradients of colour at three scales in the
                        place of DINO's features
    see_through         fraction of the object's pixels whose point another view looks through: it shows nothing there,
                        or something that lies more than `tolerance` behind
    co_visible          fraction of the object's pixels that the other view sees too: what the first three speak of

    What it cannot see: a Janus, since a second face that is really there agrees with itself from everywhere; anything
    else that is wrong and stands still; and it rewards blur. What is reported with a small co_visible says little. An
    empty scene has the errors 1, `tolerance` and 1; of a turntable of one view nothing is said.

    resolution (pixels) is that of the comparison; tolerance (world units) should be about 3 of its pixels' footprints.
    The views compared are those nearest to `apart_deg` apart, so that turntables of 24 and 120 views measure the same.
    """

    resolution: Annotated[int, Interval(ge=16, le=512)] = 64
    apart_deg: Annotated[float, Interval(gt=0, le=90)] = 15.0
    tolerance: Length = 0.07

    @torch.no_grad()
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        size = (self.resolution, self.resolution)
        rgb = interpolate(turntable.rgb, size, mode="area")
        depth, alpha = resize_depth(turntable.depth, turntable.alpha, size)
        cameras = cameras.resized(self.resolution, self.resolution)
        i, j = neighbours(cameras, self.apart_deg)
        coords, z = correspond(depth[i], cameras[i], cameras[j])
        mask = co_visible(coords, z, alpha[i], depth[j], alpha[j], self.tolerance)
        features = gradient_features(rgb, alpha)
        unlike = 1 - cosine_similarity(features[i], sample(features[j], coords, "bilinear"), dim=1)
        colour = (rgb[i] - sample(rgb[j], coords, "bilinear")).abs().mean(1)
        behind = (z - _depth_at(depth[j], alpha[j], coords)).abs()
        looked_through, possible = self._looked_through(coords, z, alpha[i], depth[j], alpha[j])
        count = mask.sum()
        errors = [float(error[mask].mean()) for error in (colour, behind, unlike)] if count else [1, self.tolerance, 1]
        if not len(i):  # one view says nothing of others, neither good nor bad
            return dict.fromkeys(("photometric_error", "reprojection_error", "feature_error", "see_through"), nan)
        return {
            "photometric_error": float(errors[0]),
            "reprojection_error": float(errors[1]),
            "feature_error": float(errors[2]),
            "see_through": float(looked_through.sum() / possible.sum().clamp(min=1)),
            "co_visible": float(count / (alpha[i] > 0.5).sum().clamp(min=1)),
        }

    def _looked_through(
        self,
        coords: Float[Tensor, "P h w 2"],
        z: Float[Tensor, "P h w"],
        alpha: Float[Tensor, "P 1 h w"],
        depth: Float[Tensor, "P 1 h w"],
        target_alpha: Float[Tensor, "P 1 h w"],
    ) -> tuple[Bool[Tensor, "P h w"], Bool[Tensor, "P h w"]]:
        """Points the target camera looks through, and those it could: object points within its picture.

        The nearest of the 3 x 3 pixels around a point counts, since outlines fall between pixels.
        """
        solid = torch.where(target_alpha > 0.5, depth, NEVER)
        nearest = sample(-max_pool2d(-solid, 3, 1, 1), coords, "nearest")[:, 0]
        possible = in_bounds(coords, *z.shape[-2:]) & (z > 0) & (alpha[:, 0] > 0.5)
        return possible & (nearest > z + self.tolerance), possible


def _depth_at(
    depth: Float[Tensor, "P 1 h w"], alpha: Float[Tensor, "P 1 h w"], coords: Float[Tensor, "P h w 2"]
) -> Float[Tensor, "P h w"]:
    """Between pixels of the object alone."""
    solid = (alpha > 0.5).to(depth)
    weighted, weight = sample(torch.cat([depth * solid, solid], 1), coords, "bilinear").unbind(1)
    return weighted / weight.clamp(min=1e-6)
