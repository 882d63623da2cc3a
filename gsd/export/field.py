"""The surface of a density field by marching cubes, coloured by the field itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.export.mesh import Mesh, surface

Field = Callable[[Float[Tensor, "N 3"]], tuple[Float[Tensor, " N"], Float[Tensor, "N 3"]]]  # density, rgb at xyz

CHUNK = 1 << 18  # points asked at a time
HALF = 1.0  # the object lies in the unit ball


@torch.no_grad()
def mesh_of_field(field: Field, resolution: int, level: float, device: torch.device) -> Mesh:
    """Where the density (per world unit) of `field` crosses `level`, on a grid of resolution^3 over [-1, 1]^3.

    Density spans orders of magnitude from one voxel to the next, so the crossing is interpolated in the opacity of a
    voxel, 1 - exp(-density spacing), which is bounded.
    """
    spacing = 2 * HALF / (resolution - 1)
    line = torch.linspace(-HALF, HALF, resolution, device=device)
    rest = torch.cartesian_prod(line, line)
    slabs = []
    for x in line:
        points = torch.cat([x.expand(len(rest), 1), rest], 1)
        density = torch.cat([field(part)[0] for part in points.split(CHUNK)])
        slabs.append(density.float().cpu().view(resolution, resolution))
    density = torch.stack(slabs)
    if not density.max() > level:
        raise GsdError(
            f"The field is nowhere denser than {density.max():.3g}; ask for a surface below it with --level."
        )
    opacity, threshold = -torch.expm1(-density * spacing), -math.expm1(-level * spacing)
    vertices, faces = surface(opacity, threshold, torch.full((3,), -HALF), spacing)
    rgb = torch.cat([field(part)[1].cpu() for part in vertices.to(device).split(CHUNK)])
    return Mesh(vertices, faces, rgb.float().clamp(0, 1))
