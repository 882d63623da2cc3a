"""What a step's cameras see of the scene's points alone, each a disc of one size."""

from __future__ import annotations

from dataclasses import replace

import torch

from gsd.geometry import project, splat
from gsd.types import Geometry, Render


@torch.no_grad()
def seen_by_discs(geometry: Geometry, radius: float) -> Geometry:
    """The same step with the z-buffer of discs for a render: depth, and alpha 1 where there is a disc, else 0.

    radius: of a disc, in halves of the image's height whatever its distance, as in PyTorch3D. Opacities are not looked
    at, and a disc is as deep as its centre.
    """
    cameras, like = geometry.cameras, geometry.depth
    xy, z = project(geometry.scene.points.to(like.dtype), cameras)
    inverse = splat(xy, z, (cameras.height, cameras.width), radius * cameras.height / 2)[:, None]
    alpha = (inverse > 0).to(like)
    depth = torch.where(inverse > 0, 1 / inverse, 0.0)
    return replace(geometry, depth=depth, alpha=alpha, render=Render(alpha.expand(-1, 3, -1, -1), depth, alpha))
