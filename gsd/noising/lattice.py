"""Noise attached to the cells of a world lattice that the rendered surface passes through."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Tensor

from gsd.noising.parts.correlated import Correlated
from gsd.noising.points.background import background
from gsd.noising.points.canvas import Canvas, Kernel, Layer, Values, reached
from gsd.noising.points.cells import surface_cells
from gsd.noising.points.operator import integral
from gsd.noising.points.whiten import Ridge
from gsd.random import Stream
from gsd.ranges import Fraction, Length
from gsd.types import Geometry


class Lattice(Correlated):
    """Every cell of a cubic lattice has a value, a hash of its position; a pixel sums the values of the cells it sees.

    Rays, `rays` x `rays` per pixel, meet the rendered depth of every view in some cells. Each such cell becomes one
    point, the mean of its hits, visible within `depth_tolerance` (world units) of the depth. So the noise does not
    depend on the scene's points or their density: it works for any representation that renders depth, and densification
    does not change it. Maps are exactly N(0, I).

    cell: edge of a cell in pixels, at the mean distance and focal length of the step's cameras, so that all views of a
    step share one lattice. background: cells of a sphere, whose size does not follow `cell`, or fresh noise.
    background_radius, kernel, ridge: as in gsd.noising.consistent.
    """

    def __init__(
        self,
        cell: Annotated[float, Interval(ge=0.05, le=100)] = 0.75,
        rays: Annotated[int, Interval(ge=1, le=16)] = 3,
        depth_tolerance: Length = 0.1,
        background: Literal["sphere", "fresh"] = "sphere",
        background_radius: Length | None = None,
        kernel: Kernel = "box",
        ridge: Ridge = 0.01,
        sqrt_beta: Fraction = 1.0,
    ) -> None:
        super().__init__(sqrt_beta)
        self.cell, self.rays, self.depth_tolerance = cell, rays, depth_tolerance
        self.background, self.background_radius = background, background_radius
        self.kernel, self.ridge = kernel, ridge

    def maps(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        canvas = Canvas(geometry.depth, channels, self.kernel, self.ridge)
        for i, layer in enumerate(self._layers(geometry)):
            canvas.paint(layer, Values(rng.sub(f"layer{i}"), 1.0, 0.0))
        return canvas.maps(rng.sub("fresh"))

    @torch.no_grad()
    def operator(self, geometry: Geometry, rng: Stream) -> Float[Tensor, "R M"] | None:
        """None for whitened kernels."""
        return None if self.kernel != "box" else integral(self._layers(geometry), geometry.depth.numel())

    @torch.no_grad()
    def reaches(self, geometry: Geometry, rng: Stream) -> Bool[Tensor, "V 1 h w"]:
        return reached(self._layers(geometry)[:1], self.kernel)

    def _layers(self, geometry: Geometry) -> list[Layer]:
        """The cells of the surface and, for background=sphere, of the sphere."""
        cloud = surface_cells(geometry, self.cell, self.rays, self.depth_tolerance)
        layers = [Layer(cloud, geometry.cameras, geometry.alpha > 0.5, geometry.depth, self.depth_tolerance)]
        if self.background == "sphere":
            layers.append(background(geometry, self.background_radius))
        return layers
