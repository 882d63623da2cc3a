"""A surface cut into charts that lie flat in one square, and the point of the surface under each texel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.meshing.bake_kernels import rasterise, reach_out

REACH = 1.5  # texels from a chart that bilinear filtering reads
PADDING = 4  # texels between charts, so that neither bilinear filtering nor the first mipmaps mix them


@dataclass(frozen=True)
class Atlas:
    origin: Int[Tensor, " N"]  # the vertex of the surface that each vertex is; where charts meet, it is in each
    faces: Int[Tensor, "F 3"]
    uv: Float[Tensor, "N 2"]  # [0, 1], from the upper left corner


def unwrapped(vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], side: int) -> Atlas:
    """Charts by xatlas, all of one scale, in a square of about `side` texels."""
    import xatlas

    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = side, PADDING
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices.numpy(), faces.numpy().astype(np.uint32))
    atlas.generate(pack_options=packing)
    origin, indices, uv = atlas[0]
    origin, indices = (torch.from_numpy(x.astype(np.int64)) for x in (origin, indices))
    return Atlas(origin, indices, torch.from_numpy(uv.copy()))


def texels(
    faces: Int[Tensor, "F 3"], uv: Float[Tensor, "N 2"], side: int
) -> tuple[Int[Tensor, "side side"], Float[Tensor, "side side 3"]]:
    """The face under each texel's centre, -1 between charts, and the barycentric coordinates there.

    Texels just outside of a chart have the nearest point of its border: filtering reads them.
    """
    face = np.full((side, side), -1, np.int64)
    weights = np.zeros((side, side, 3), np.float32)
    corners = (side * uv[faces]).numpy()
    rasterise(corners, face, weights)
    reach_out(corners, np.float32(REACH), face, weights)
    return torch.from_numpy(face), torch.from_numpy(weights)
