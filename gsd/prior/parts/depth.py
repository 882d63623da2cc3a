"""What cameras see of a cloud of points, as the depth picture that a ControlNet reads."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from gsd.geometry import project, splat
from gsd.types import Cameras


@torch.no_grad()
def cloud_depth(points: Float[Tensor, "N 3"], cameras: Cameras, radius: float, fill: int) -> Float[Tensor, "V 1 H W"]:
    """Inverse depth in [0, 1] at the resolution of the cameras: the nearest point 1, the farthest and the empty 0.

    Every point is a disc of `radius`, in halves of the image's height whatever its distance, as in PyTorch3D; discs in
    front hide those behind. Holes narrower than 2 `fill` pixels take the nearest surface around them.
    """
    xy, z = project(points, cameras)
    inverse = splat(xy, z, (cameras.height, cameras.width), radius * cameras.height / 2)
    return normalised(closed(inverse, fill) if fill else inverse)[:, None]


def closed(inverse: Float[Tensor, "V H W"], fill: int) -> Float[Tensor, "V H W"]:
    """Morphological closing by a square of `fill` pixels to each side: gaps are filled, the outline stays."""
    width, margin = 2 * fill + 1, 2 * fill
    near = max_pool2d(pad(inverse, [margin] * 4), width, 1, fill)  # with a margin: an edge of the picture is no surface
    open_still = max_pool2d((near == 0).to(inverse), width, 1, fill) > 0
    near, open_still = (x[:, margin:-margin, margin:-margin] for x in (near, open_still))
    return torch.where((inverse > 0) | open_still, inverse, near)


def normalised(inverse: Float[Tensor, "V H W"]) -> Float[Tensor, "V H W"]:
    """Every view's values above 0 spread over [0, 1]."""
    there = inverse > 0
    low = torch.where(there, inverse, torch.inf).amin((1, 2), keepdim=True)
    high = inverse.amax((1, 2), keepdim=True)
    spread = (high - low).clamp(min=torch.finfo(inverse.dtype).tiny)
    return torch.where(there & (high > low), (inverse - low) / spread, there.to(inverse))
