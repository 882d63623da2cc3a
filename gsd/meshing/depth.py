"""The surface of anything that renders depth: truncated signed distances, fused from views all around.

The density of Gaussians has no level that is the surface, hence depth. Pixels without the object carve; what no view
sees is inside. A rasteriser's depth is that of the Gaussians' centres: it is first brought forward to their near side,
or round shapes made of a few large Gaussians would be carved to the middle.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.backend.device import compiled
from gsd.errors import GsdError
from gsd.geometry import in_bounds, project, rotation_matrices, sample
from gsd.meshing.fusion_kernels import fuse
from gsd.meshing.mesh import Surface, surface
from gsd.meshing.progress import tracked
from gsd.meshing.views import SKIP, SOLID, View, bounds, pictures
from gsd.protocols import OfGaussians
from gsd.rasterizer import rasterize
from gsd.types import Cameras, Render

TRUNCATION = 3.0  # voxels
HALF_WIDTH = math.sqrt(2 * math.log(2))  # standard deviations from a Gaussian's centre to half its peak


@torch.no_grad()
def surface_of_depth(representation: Any, resolution: int, device: torch.device) -> Surface:
    """TSDF fusion (Curless and Levoy 1996), `resolution` voxels along the longest side of the object.

    A view says nothing of what lies behind a surface; pixels without the object are empty along their whole rays. What
    no view has seen counts as inside.
    """
    views = pictures(lambda cameras: _shown(representation, cameras), device, 2 * TRUNCATION / resolution)
    box = bounds(views[::SKIP])  # all of them would find it less than a voxel larger
    if box is None:
        raise GsdError("There is no surface: the scene is nowhere more than half opaque; let the run go on for longer.")
    low, high = box
    spacing = float((high - low).max()) / resolution
    low = low - 2 * TRUNCATION * spacing
    count = ((high - low) / spacing + 2 * TRUNCATION).ceil().long().tolist()
    distance = _fused(views, low, spacing, count)
    vertices, faces = surface(-distance, 0.0, low, spacing)
    return Surface(vertices, faces, views, TRUNCATION * spacing)


def _shown(representation: Any, cameras: Cameras) -> Render:
    """The render of one view, with the depth of Gaussians brought forward from their centres to their near side.

    Rasterisers give a Gaussian one depth, its centre's. Where a few large ones make a round shape, all views would
    agree on its middle and carve the rest away. The way from centre to near side is rendered like a colour; it changes
    slowly over the picture, so half of its pixels are enough.
    """
    show = representation.render(cameras)
    if not isinstance(representation, OfGaussians):
        return show
    s = representation.splats()
    forward = cameras.viewmats[0, 2, :3]
    along = (forward @ rotation_matrices(s.quats)) * s.log_scales.exp()
    ahead = HALF_WIDTH * along.norm(dim=-1)
    gaussians = (s.means, s.quats, s.log_scales.exp(), s.opacity_logits.sigmoid(), ahead[:, None].repeat(1, 3))
    half = cameras.resized(cameras.width // 2, cameras.height // 2)
    drawn, alpha, _ = rasterize(*gaussians, half.viewmats, half.Ks, half.width, half.height)
    mean = (drawn[..., :1] / alpha.clamp_min(1e-8)).permute(0, 3, 1, 2)
    return replace(show, depth=show.depth - interpolate(mean, show.depth.shape[-2:], mode="bilinear"))


def _fused(views: list[View], low: Float[Tensor, " 3"], spacing: float, count: list[int]) -> Float[Tensor, "X Y Z"]:
    """The mean over views of the signed distance in units of the truncation, in [-1, 1]; negative inside."""
    total, weight = torch.zeros(count, device=low.device), torch.zeros(count, device=low.device)
    for cameras, show in tracked(views, "fusion"):
        solid = show.alpha[0, 0] > SOLID
        if compiled(total):
            fuse(
                low.numpy(),
                np.float32(spacing),
                (cameras.Ks[0] @ cameras.viewmats[0, :3]).numpy(),
                show.depth[0, 0].contiguous().numpy(),
                solid.numpy(),
                np.float32(TRUNCATION * spacing),
                total.numpy(),
                weight.numpy(),
            )
        else:
            fuse_torch(low, spacing, cameras, show.depth[0, 0], solid, total, weight)
    mean = torch.where(weight > 0, total / weight.clamp_min(1), -1.0)
    beyond = _voxels(low, spacing, count).norm(dim=-1) > 1  # nothing is there, and not every view looks there
    return mean.masked_fill(beyond.view(*count), 1.0)


def fuse_torch(
    low: Float[Tensor, " 3"],
    spacing: float,
    cameras: Cameras,
    depth: Float[Tensor, "H W"],
    solid: Bool[Tensor, "H W"],
    total: Float[Tensor, "X Y Z"],
    weight: Float[Tensor, "X Y Z"],
) -> None:
    """Add what one view says of each voxel: nothing outside the image and behind the surface, 1 where its ray meets no
    object, else the signed distance in units of the truncation, at most 1. The twin of `fusion_kernels.fuse`."""
    coords, z = project(_voxels(low, spacing, list(total.shape)), cameras)
    maps = torch.stack([depth, solid.float()])[None]
    surface_z, hit = sample(maps, coords[:, None], "nearest")[0, :, 0]
    signed = (surface_z - z[0]) / (TRUNCATION * spacing)
    known = in_bounds(coords[0], *depth.shape) & ((hit == 0) | (signed > -1))
    total += (known * torch.where(hit == 0, 1.0, signed.clamp(-1, 1))).view_as(total)
    weight += known.view_as(weight)


def _voxels(low: Float[Tensor, " 3"], spacing: float, count: list[int]) -> Float[Tensor, "N 3"]:
    axes = [low[i] + spacing * torch.arange(n, device=low.device) for i, n in enumerate(count)]
    return torch.cartesian_prod(*axes)
