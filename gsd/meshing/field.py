"""The surface of a density field by marching cubes."""

from __future__ import annotations

import math
from typing import Any

import torch

from gsd.errors import GsdError
from gsd.meshing.mesh import Surface, surface
from gsd.meshing.progress import tracked
from gsd.meshing.views import View, pictures, seen_points

CHUNK = 1 << 18  # points asked at a time
HALF = 1.0  # the object lies in the unit ball
HAZE = 0.08  # world units: how far behind a surface that is not quite opaque the rays end


@torch.no_grad()
def surface_of_field(representation: Any, resolution: int, level: float | None, device: torch.device) -> Surface:
    """Where the density (per world unit) of a radiance field crosses `level`, on a grid of resolution^3 over [-1, 1]^3.

    Without a level: half the density where rays end, in the median, since how dense a field becomes depends on what it
    was trained with. Density spans orders of magnitude from one voxel to the next, so the crossing
    is interpolated in the opacity of a voxel, 1 - exp(-density spacing), which is bounded. Colours are those that
    cameras all around see, since the colour at a point of a surface that is not opaque is not what shows.
    """
    views = pictures(representation.render, device, HAZE)
    if level is None:
        level = 0.5 * _density_where_rays_end(representation, views)
    spacing = 2 * HALF / (resolution - 1)
    line = torch.linspace(-HALF, HALF, resolution, device=device)
    rest = torch.cartesian_prod(line, line)
    slabs = []
    for x in tracked(list(line), "density"):
        points = torch.cat([x.expand(len(rest), 1), rest], 1)
        density = torch.cat([representation.field(part)[0] for part in points.split(CHUNK)])
        slabs.append(density.float().cpu().view(resolution, resolution))
    density = torch.stack(slabs)
    if not density.max() > level:
        raise GsdError(
            f"The field is nowhere denser than {density.max():.3g}; ask for a surface below it with --level."
        )
    opacity, threshold = -torch.expm1(-density * spacing), -math.expm1(-level * spacing)
    vertices, faces = surface(opacity, threshold, torch.full((3,), -HALF), spacing)
    return Surface(vertices, faces, views, HAZE)


def _density_where_rays_end(representation: Any, views: list[View]) -> float:
    points = torch.cat([seen_points(view) for view in views])
    if not len(points):
        raise GsdError("The field is nowhere more than half opaque; ask for a surface in the haze with --level.")
    some = points[:: max(1, len(points) // CHUNK)]
    return float(representation.field(some)[0].median())
