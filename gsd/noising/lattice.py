"""Noise attached to the cells of a world lattice that the rendered surface passes through."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.backend.device import compiled
from gsd.geometry import unproject
from gsd.noising.parts.correlated import Correlated
from gsd.noising.points.background import without_translation
from gsd.noising.points.canvas import Canvas, Cloud, Kernel, Layer, Values
from gsd.noising.points.local import sort_into_cells
from gsd.noising.points.local_kernels import assign
from gsd.noising.points.operator import integral
from gsd.random import Stream
from gsd.types import Fraction, Geometry


class Lattice(Correlated):
    """Every cell of a cubic lattice has a value, a hash of its position; a pixel sums the values of the cells it sees.

    Rays, `rays` x `rays` per pixel, meet the rendered depth of every view in some cells. Each such cell becomes one
    point, the mean of its hits, visible within `depth_tolerance` (world units) of the depth. So the noise does not
    depend on the scene's points or their density: it works for any representation that renders depth, and densification
    does not change it. Maps are exactly N(0, I).

    cell: edge of a cell in pixels, at the mean distance and focal length of the step's cameras, so that all views of a
    step share one lattice. background: cells of the sphere at infinity, or fresh noise. kernel, ridge: as in
    gsd.noising.consistent.
    """

    def __init__(
        self,
        cell: PositiveFloat = 0.75,
        rays: Annotated[int, Field(ge=1, le=16)] = 3,
        depth_tolerance: PositiveFloat = 0.1,
        background: Literal["sphere", "fresh"] = "sphere",
        kernel: Kernel = "box",
        ridge: PositiveFloat = 0.01,
        sqrt_beta: Fraction = 1.0,
    ) -> None:
        super().__init__(sqrt_beta)
        self.cell, self.rays, self.depth_tolerance, self.background = cell, rays, depth_tolerance, background
        self.kernel, self.ridge = kernel, ridge

    def maps(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        canvas = Canvas(geometry.depth, channels, self.kernel, self.ridge)
        for i, layer in enumerate(self._layers(geometry)):
            canvas.paint(layer, Values(rng.sub(f"layer{i}"), 1.0, 0.0))
        return canvas.maps(rng.sub("fresh"))

    @torch.no_grad()
    def operator(self, geometry: Geometry, rng: Stream) -> Float[Tensor, "R M"] | None:
        """None for the tent."""
        return None if self.kernel == "tent" else integral(self._layers(geometry), geometry.depth.numel())

    def _layers(self, geometry: Geometry) -> list[Layer]:
        """The cells of the surface and, for background=sphere, of the sphere."""
        cameras, depth, alpha = geometry.cameras, geometry.depth, geometry.alpha
        many = cameras.resized(self.rays * cameras.width, self.rays * cameras.height)
        fine, inside = self._fine(geometry)
        angle = self.cell / float(cameras.Ks[:, 0, 0].mean())  # of a cell, radians
        edge = angle * float(cameras.distance.mean())
        cloud = cells(unproject(fine, many)[inside[:, 0]], edge)
        layers = [Layer(cloud, cameras, alpha > 0.5, depth, self.depth_tolerance)]
        if self.background == "sphere":
            ahead = unproject(torch.ones_like(fine), without_translation(many))[~inside[:, 0]]
            sphere = cells(ahead / ahead.norm(dim=1, keepdim=True), angle)
            layers.append(Layer(sphere, without_translation(cameras), alpha <= 0.5))
        return layers

    def _fine(self, geometry: Geometry) -> tuple[Float[Tensor, "V 1 H W"], Bool[Tensor, "V 1 H W"]]:
        """The depth of every ray, and whether the ray ends on the surface.

        Depth is interpolated between pixel centres where the surface is continuous; at an edge it is the pixel's own.
        """
        size, rendered = geometry.depth.shape[2:], geometry.render.depth
        large = (self.rays * size[0], self.rays * size[1])
        source = rendered if min(rendered.shape[2:]) > min(size) else geometry.depth
        near, smooth = interpolate(source, large, mode="nearest"), interpolate(source, large, mode="bilinear")
        continuous = (smooth - near).abs() < self.depth_tolerance
        mask = (geometry.alpha > 0.5).float()
        return torch.where(continuous, smooth, near), interpolate(mask, large, mode="nearest") > 0.5


def cells(points: Float[Tensor, "K 3"], edge: float) -> Cloud:
    """The lattice cells that points fall into, as a cloud: each at the mean of its points, its packed indices as id."""
    if not compiled(points):
        return cells_torch(points, edge)
    count = len(points)
    keys, cell, moments = np.empty(count, np.int64), np.empty(count, np.int32), np.empty((count, 10))
    n, _ = assign(points.numpy(), np.zeros(3), edge, keys, cell, moments)
    return _cloud(torch.from_numpy(keys[:n]), torch.from_numpy(moments[:n, 1:4] / moments[:n, :1]).float())


def cells_torch(points: Float[Tensor, "K 3"], edge: float) -> Cloud:
    """The torch twin."""
    x = points.double()
    valid, ids, cell = sort_into_cells(x, edge)
    homogeneous = torch.nn.functional.pad(x[valid], (0, 1), value=1.0)
    sums = homogeneous.new_zeros(len(ids), 4).index_add_(0, cell, homogeneous)
    return _cloud(ids, (sums[:, :3] / sums[:, 3:]).to(points.dtype))


def _cloud(ids: Int[Tensor, " K"], points: Float[Tensor, "K 3"]) -> Cloud:
    return Cloud(points, points.new_zeros(len(points), 3, 3), ids, 1, 0)
