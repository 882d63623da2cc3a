"""Triangles to pixels: which face each pixel shows, where on it, and how far away.

All is computed in float64, by the same formulas on every device, so that each pixel's face does not depend on it. There
is no gradient: meshes do not move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.backend.threads import default_threads, each
from gsd.geometry import NEAR, project
from gsd.meshing.triangle_kernels import draw
from gsd.types import Cameras

SLACK = 1e-9  # of a triangle: a pixel centre so near to an edge is on both sides of it, so that there are no holes


@dataclass(frozen=True)
class Hits:
    """The pixels that show a mesh."""

    pixel: Int[Tensor, " M"]  # index into the flattened images [V H W], ascending
    face: Int[Tensor, " M"]
    weights: Float[Tensor, "M 3"]  # of the face's corners, at the point of the surface behind the pixel's centre
    depth: Float[Tensor, " M"]  # camera-space z, world units


@torch.no_grad()
def rasterise(vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], cameras: Cameras) -> Hits:
    """What V cameras of H x W pixels see of a mesh, at the centres of pixels; both sides of a face are seen.

    A face with a corner behind the camera or nearer to it than `gsd.geometry.NEAR` is left out, not clipped.
    """
    xy, z = project(vertices.double(), _double(cameras))
    corners = torch.cat([xy, z[..., None]], -1)[:, faces]
    nearest = _nearest_compiled if vertices.device.type == "cpu" else nearest_torch
    face = nearest(corners, cameras.height, cameras.width).flatten()
    pixel = (face >= 0).nonzero()[:, 0]
    face = face[pixel]
    size = cameras.height * cameras.width
    a, b, c = corners[pixel // size, face].unbind(1)
    centre = torch.stack([pixel % cameras.width, pixel % size // cameras.width], -1) + 0.5
    over_z = _flat_weights(a, b, c, *centre.unbind(-1)) / torch.stack([a[:, 2], b[:, 2], c[:, 2]], -1)
    closeness = over_z.sum(-1)
    return Hits(pixel, face, (over_z / closeness[:, None]).float(), (1 / closeness).float())


def nearest_torch(corners: Float[Tensor, "V F 3 3"], height: int, width: int) -> Int[Tensor, "V H W"]:
    """The index of the face that each pixel shows, -1 for none; of equally near ones the first.

    corners: x and y in pixels and camera-space z of every face's corners. All pairs of a triangle and a pixel of its
    box are looked at together; a GPU is waited for once.
    """
    views, count = corners.shape[:2]
    a, b, c = corners.flatten(0, 1).unbind(1)
    low, high = (f(f(a, b), c)[:, :2] - 0.5 for f in (torch.minimum, torch.maximum))
    first = low.ceil().clamp_min(0)
    last = torch.minimum(high.floor(), high.new_tensor([width - 1, height - 1]))
    usable = (torch.minimum(torch.minimum(a, b), c)[:, 2] > NEAR) & (_area(a, b, c) != 0) & (last >= first).all(-1)
    columns, rows = torch.where(usable[:, None], last - first + 1, 0).long().unbind(-1)
    boxes = columns * rows
    triangle = torch.repeat_interleave(boxes)
    place = torch.arange(len(triangle), device=boxes.device) - (boxes.cumsum(0) - boxes)[triangle]
    column = first[triangle, 0].long() + place % columns[triangle]
    row = first[triangle, 1].long() + place // columns[triangle]
    a, b, c = a[triangle], b[triangle], c[triangle]
    weights = _flat_weights(a, b, c, column + 0.5, row + 0.5)
    closeness = weights[:, 0] / a[:, 2] + weights[:, 1] / b[:, 2] + weights[:, 2] / c[:, 2]
    closeness = torch.where((weights >= -SLACK).all(-1), closeness, 0.0)
    pixel = (triangle // count * height + row) * width + column
    best = closeness.new_zeros(views * height * width).scatter_reduce_(0, pixel, closeness, "amax")
    winner = torch.where((closeness > 0) & (closeness == best[pixel]), triangle % count, count)
    face = triangle.new_full(best.shape, count).scatter_reduce_(0, pixel, winner, "amin")
    return face.where(face < count, -1).view(views, height, width)


def _nearest_compiled(corners: Float[Tensor, "V F 3 3"], height: int, width: int) -> Int[Tensor, "V H W"]:
    face = torch.full((len(corners), height, width), -1)
    closeness = torch.zeros(len(corners), height, width, dtype=torch.float64)

    def view(v: int) -> None:
        draw(corners[v].numpy(), NEAR, SLACK, face[v].numpy(), closeness[v].numpy())

    each(view, len(corners), default_threads(corners.shape[1]))
    return face


def _flat_weights(
    a: Float[Tensor, "M 3"], b: Float[Tensor, "M 3"], c: Float[Tensor, "M 3"], x: Float[Tensor, " M"], y: Tensor
) -> Float[Tensor, "M 3"]:
    """The barycentric coordinates of (x, y) in the image."""
    area = _area(a, b, c)
    of_b = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])) / area
    of_c = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / area
    return torch.stack([1 - of_b - of_c, of_b, of_c], -1)


def _area(a: Float[Tensor, "M 3"], b: Float[Tensor, "M 3"], c: Float[Tensor, "M 3"]) -> Float[Tensor, " M"]:
    """Twice the triangle's, with a sign."""
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


def _double(cameras: Cameras) -> Cameras:
    return replace(cameras, viewmats=cameras.viewmats.double(), Ks=cameras.Ks.double())
