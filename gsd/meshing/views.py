"""A scene seen from all around, for meshes: where its surface is seen, and in which colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from gsd.backend.device import compiled
from gsd.geometry import in_bounds, orbit, project, sample, unproject
from gsd.meshing.bake_kernels import blend
from gsd.meshing.progress import tracked
from gsd.types import Cameras, Render

ELEVATIONS = (-30.0, 0.0, 20.0, 45.0, 70.0)  # degrees
AZIMUTHS = 12
PIXELS = 384
COARSE, SKIP = 96, 5  # pixels of the pictures that find out where the object is, and one in how many views has one
SOLID = 0.5  # alpha above which a pixel shows the object
LEAST = 1e-4  # of a view's strength: a point with less is not seen
NEIGHBOURS = 50_000  # seen points among which an unseen one finds its nearest: more would only take longer

View = tuple[Cameras, Render]  # of one camera


def around(device: torch.device) -> list[Cameras]:
    """One camera at a time, all around, each seeing the whole unit ball."""
    grid = torch.cartesian_prod(torch.tensor(ELEVATIONS), torch.arange(AZIMUTHS) * (360.0 / AZIMUTHS))
    full = torch.ones(len(grid))
    cameras = orbit(grid[:, 1], grid[:, 0], 3.0 * full, 40.0 * full, PIXELS, PIXELS).to(device)
    return [cameras[i] for i in torch.arange(len(grid)).split(1)]


def pictures(render: Callable[[Cameras], Render], device: torch.device, margin: float) -> list[View]:
    """The object from all around, as large as the pictures allow with `margin` of its longest side on each side of it.

    Small pictures find out where it is. Where they show nothing, the pictures show the whole unit ball.
    """
    cameras = around(device)
    box = bounds([(small, render(small)) for small in (each.resized(COARSE, COARSE) for each in cameras[::SKIP])])
    if box is not None:
        low, high = box
        beyond = margin * (high - low).max() + 2 / COARSE  # a pixel of the small pictures or more
        cameras = [framed(each, low - beyond, high + beyond) for each in cameras]
    return [(each, render(each)) for each in tracked(cameras, "pictures from all sides")]


def framed(cameras: Cameras, low: Float[Tensor, " 3"], high: Float[Tensor, " 3"]) -> Cameras:
    """The camera with another square part of its image plane as its picture: the least that holds the whole box."""
    corners = torch.cartesian_prod(*torch.stack([low, high], 1))
    coords, _ = project(corners, cameras)
    least, most = coords[0].amin(0), coords[0].amax(0)
    zoom = cameras.width / (most - least).max()
    Ks = cameras.Ks.clone()
    Ks[:, :2] *= zoom
    Ks[:, :2, 2] -= zoom * (least + most) / 2 - cameras.width / 2
    return replace(cameras, Ks=Ks)


def bounds(views: list[View]) -> tuple[Float[Tensor, " 3"], Float[Tensor, " 3"]] | None:
    """The box around all surface points that some view sees, within the unit ball's; None where no view sees any."""
    found = [points for points in map(seen_points, views) if len(points)]
    if not found:
        return None
    low = torch.stack([points.amin(0) for points in found]).amin(0)
    high = torch.stack([points.amax(0) for points in found]).amax(0)
    return low.clamp(-1, 1), high.clamp(-1, 1)


def seen_points(view: View) -> Float[Tensor, "N 3"]:
    """The points of the surface that a view sees."""
    cameras, show = view
    return unproject(show.depth, cameras)[show.alpha[:, 0] > SOLID]


def colours(
    views: list[View], points: Float[Tensor, "N 3"], outward: Float[Tensor, "N 3"], tolerance: float
) -> Float[Tensor, "N 3"]:
    """The mean of what the views that see a point of the surface show there; frontal and opaque views count most.

    A point that no view sees takes the colour of the nearest one that some view sees.
    """
    device = views[0][0].viewmats.device
    points, outward = points.to(device), outward.to(device)
    total, weight = torch.zeros_like(points), points.new_zeros(len(points))
    for cameras, show in tracked(views, "colours"):
        seen = torch.cat([show.rgb, show.depth, show.alpha], 1)
        if compiled(total) and compiled(seen):
            blend(
                points.numpy(),
                outward.numpy(),
                (cameras.Ks[0] @ cameras.viewmats[0, :3]).numpy(),
                seen[0].permute(1, 2, 0).contiguous().numpy(),
                np.float32(tolerance),
                total.numpy(),
                weight.numpy(),
            )
        else:
            blend_torch(points, outward, cameras, seen.float(), tolerance, total, weight)
    rgb, known = (total / weight.clamp_min(1e-8)[:, None]).cpu(), (weight > LEAST).cpu()
    if not known.all() and known.any():
        _fill_from_nearest(rgb, known, points.cpu())
    return rgb.clamp(0, 1)


def _fill_from_nearest(rgb: Float[Tensor, "N 3"], known: Bool[Tensor, " N"], points: Float[Tensor, "N 3"]) -> None:
    some = known.nonzero()[:, 0]
    some = some[:: max(1, len(some) // NEIGHBOURS)]
    nearest = cKDTree(points[some].numpy()).query(points[~known].numpy(), workers=1)[1]
    rgb[~known] = rgb[some[torch.from_numpy(nearest)]]


def blend_torch(
    points: Float[Tensor, "N 3"],
    outward: Float[Tensor, "N 3"],
    cameras: Cameras,
    seen: Float[Tensor, "1 5 H W"],
    tolerance: float,
    total: Float[Tensor, "N 3"],
    weight: Float[Tensor, " N"],
) -> None:
    """Add what one view shows of each point: red, green, blue, depth and alpha are bilinear in `seen`.

    The twin of `bake_kernels.blend`.
    """
    coords, z = project(points, cameras)
    values = sample(seen, coords[:, None], "bilinear")[0, :, 0]
    inside = in_bounds(coords[0] - 0.5, seen.shape[2] - 1, seen.shape[3] - 1)
    frontal = (outward @ -cameras.viewmats[0, 2, :3]).clamp_min(0)
    visible: Bool[Tensor, " N"] = inside & ((z[0] - values[3]).abs() < tolerance)
    strength = visible * frontal.square() * values[4].clamp(0, 1) ** 4
    total += strength[:, None] * values[:3].T
    weight += strength
