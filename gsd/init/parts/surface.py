"""Points on the surface of a field."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import orbit, unproject
from gsd.protocols import OfField
from gsd.random import Stream
from gsd.types import Cameras, PointCloud, Render

ELEVATIONS = (-60.0, -30.0, 0.0, 30.0, 60.0)  # degrees
AZIMUTHS = 12
PIXELS = 96
DISTANCE, FOV = 3.0, 40.0  # world units, degrees: each view holds the unit ball
SOLID = 0.8  # alpha above which a ray ends
LEAST = 0.5  # of the median density where rays end


class Renderable(OfField, Protocol):
    """A field that cameras can look at."""

    def render(self, cameras: Cameras) -> Render: ...


@torch.no_grad()
def surface_points(scene: Renderable, count: int, device: torch.device, rng: Stream, name: str) -> PointCloud:
    """`count` points, or as many as there are, where the rays of views all around end, in the field's colours there.

    The end of a ray through two thin layers lies between them, on neither: points where the field is thinner than half
    of what it is where rays end, in the median, are left out. The others are drawn evenly from the views' pixels, so
    that what faces many views has more points. None lies outside the unit ball.

    name: whose scene it is, for messages. Raises GsdError for a scene in which no ray ends.
    """
    grid = torch.cartesian_prod(torch.tensor(ELEVATIONS), torch.arange(AZIMUTHS) * (360.0 / AZIMUTHS))
    full = torch.ones(len(grid))
    cameras = orbit(grid[:, 1], grid[:, 0], DISTANCE * full, FOV * full, PIXELS, PIXELS).to(device)
    views = (cameras[k] for k in torch.arange(len(grid)).split(1))
    xyz = torch.cat([_ends(scene.render(view), view) for view in views]).cpu()
    if not len(xyz):
        raise GsdError(f"{name} shows no surface: its scene is nowhere more than {SOLID:.0%} opaque.")
    density, rgb = scene.field(xyz)
    dense = (density >= LEAST * density.median()).nonzero()[:, 0]
    chosen = dense[torch.randperm(len(dense), generator=rng.sub("surface").generator())[:count]]
    return PointCloud(xyz[chosen].float(), rgb[chosen].float().clamp(0, 1))


def _ends(show: Render, view: Cameras) -> Float[Tensor, "N 3"]:
    """Where the rays of one view end."""
    points = unproject(show.depth, view)[0]
    return points[(show.alpha[0, 0] > SOLID) & (points.norm(dim=-1) <= 1)]
