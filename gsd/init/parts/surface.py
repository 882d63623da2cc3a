"""Points on the surface of a scene that can be rendered."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gsd.errors import GsdError
from gsd.geometry import orbit, unproject
from gsd.random import Stream
from gsd.types import Cameras, PointCloud, Render

ELEVATIONS = (-60.0, -30.0, 0.0, 30.0, 60.0)  # degrees
AZIMUTHS = 12
PIXELS = 96
DISTANCE, FOV = 3.0, 40.0  # world units, degrees: each view holds the unit ball
SOLID = 0.5  # alpha above which a ray ends


@torch.no_grad()
def surface_points(
    render: Callable[[Cameras], Render], count: int, device: torch.device, rng: Stream, name: str
) -> PointCloud:
    """`count` points, or as many as there are, where the rays of views all around end, in the colours seen there.

    They are drawn evenly from the views' pixels, so that what faces many views has more points. Colours are those of
    the object alone where the render knows its background. A point may not lie outside the unit ball.

    name: whose scene it is, for messages. Raises GsdError for a scene in which no ray ends.
    """
    grid = torch.cartesian_prod(torch.tensor(ELEVATIONS), torch.arange(AZIMUTHS) * (360.0 / AZIMUTHS))
    full = torch.ones(len(grid))
    cameras = orbit(grid[:, 1], grid[:, 0], DISTANCE * full, FOV * full, PIXELS, PIXELS).to(device)
    seen = [_ends(render(view), view) for view in (cameras[k] for k in torch.arange(len(grid)).split(1))]
    xyz, rgb = (torch.cat(parts).cpu() for parts in zip(*seen, strict=True))
    if not len(xyz):
        raise GsdError(f"{name} shows no surface: nothing in its scene is more than half opaque.")
    chosen = torch.randperm(len(xyz), generator=rng.sub("surface").generator())[:count]
    return PointCloud(xyz[chosen].float(), rgb[chosen].float())


def _ends(show: Render, view: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """Points [N, 3] and their colours [N, 3] of one view."""
    rgb = show.rgb
    if show.background is not None:
        rgb = (rgb - (1 - show.alpha) * show.background[..., None, None]) / show.alpha.clamp_min(SOLID)
    points = unproject(show.depth, view)[0]
    ends = (show.alpha[0, 0] > SOLID) & (points.norm(dim=-1) <= 1)
    return points[ends], rgb[0].permute(1, 2, 0)[ends].clamp(0, 1)
