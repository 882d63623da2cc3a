"""Random points on triangles."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Scattered:
    """M points of a surface."""

    face: Int[Tensor, " M"]
    weights: Float[Tensor, "M 3"]  # of the face's corners
    xyz: Float[Tensor, "M 3"]
    normals: Float[Tensor, "M 3"]  # of the faces, unit length


@torch.no_grad()
def scattered(
    vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], count: int, generator: torch.Generator
) -> Scattered:
    """`count` points, as many on each part of the surface as its area says."""
    corners = vertices[faces]
    a, b, c = corners.unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    reach = across.norm(dim=-1).double().cumsum(0)
    wanted = torch.rand(count, generator=generator, dtype=torch.float64) * reach[-1]
    face = torch.searchsorted(reach, wanted, right=True).clamp_max(len(reach) - 1)
    weights = _barycentric(torch.rand(count, 2, generator=generator))
    xyz = (corners[face] * weights[..., None]).sum(1)
    return Scattered(face, weights, xyz, torch.nn.functional.normalize(across[face], dim=-1, eps=1e-30))


def _barycentric(uniform: Float[Tensor, "M 2"]) -> Float[Tensor, "M 3"]:
    """Evenly over a triangle."""
    across, along = uniform[:, 0].sqrt(), uniform[:, 1]
    return torch.stack([1 - across, across * (1 - along), across * along], 1)
