"""3D consistent noising: noise attached to the surface, which every view sees (section 4.2 of the paper)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.noising.parts.correlated import Correlated
from gsd.noising.points.background import background
from gsd.noising.points.canvas import Canvas, Cloud, Kernel, Layer, Values, reached
from gsd.noising.points.cells import surface_cells
from gsd.noising.points.discs import seen_by_discs
from gsd.noising.points.drift import Drift
from gsd.noising.points.local import Offsets, frames
from gsd.noising.points.operator import integral
from gsd.noising.points.whiten import Ridge
from gsd.random import Stream
from gsd.ranges import Few, Fraction, Length
from gsd.schedule import Schedule, Within, at
from gsd.types import Geometry

Normalization = Literal["exact", "eq7_8", "sentence"]
Refresh = Literal["iteration", "interval", "ou"]

RAYS = 2  # per pixel and axis, to find the cells
# (own, fresh) of m_s = own n + fresh (z_s - mean z) for N sub-points
COEFFICIENTS: dict[str, Callable[[int], tuple[float, float]]] = {
    "exact": lambda n: (n**-0.5, 1.0),
    "eq7_8": lambda n: (1 / n, n**-0.5),
    "sentence": lambda n: (1 / n, 1.0),
}


class Consistent(Correlated):
    """Every point carries a noise value; a view's pixel sums the values of the points it sees (eq. 7 and 8).

    Each of the scene's points is split into `upsample` sub-points around it. A pixel is sum(m) / sqrt(count) over the
    sub-points that project into it and whose camera z is within `depth_tolerance` (world units) of the rendered depth.
    Each sub-point feeds at most one pixel per view (kernel=box), which depends on geometry alone, so every map is
    exactly N(0, I); views that see the same surface share its values. Pixels that no point reaches get fresh noise.

    A scene that is still a cloud has few points where its rays end: at the start of a run the points alone reach 30 %
    of the object's pixels. So the cells of a world lattice in which rays end carry noise beside the points, as those
    of `gsd.noising.lattice` do.

    normalization: exact, m_s = n / sqrt(N) + z_s - mean(z), whose covariance is I; eq7_8, the printed eq. 7 and 8,
        whose pixels have variance 1/N; sentence, the paper's text beside them (n / N instead), whose sub-points have
        another variance than 1 and are not independent. `gsd noising-check` shows that the last two are wrong.
    cells: edge of those cells in pixels; 0: the points alone, as in the paper. With cells, sub-points gain nothing.
    offsets, spread: where sub-points lie, see gsd.noising.points.local.frames; spread is in units of the local spacing
        (of the Gaussian's own size for offsets=covariance, world units for world).
    visibility: what decides which pixels show the object, and at which depth: the render, or the scene's points as
        discs of the radius `disc` (halves of the image's height) in a z-buffer, as in the authors' code.
    background: pixels without a surface see cells of a sphere, or fresh noise. The sphere lies around the object with
        `background_radius` (world units), or at infinity (None), where it turns with a camera and does not shift.
    refresh: values are drawn anew at every iteration, at steps that are multiples of the `interval` of their time, or
        drift (ou: gsd.noising.points.drift, with the rate or schedule `gamma`). Maps are N(0, I) at every step in any
        case, but kept values are not independent of a geometry that was optimised against them.
    kernel: box as above. Where two views' pixels lie half a pixel apart in both directions, as they do seen from 30
        degrees above, boxes share .56 of a flat surface's noise at best, and .50 to .55 in runs. trapezoid: sub-points
        near the edge of a pixel feed its neighbour too, and what pixels then have in common is taken out again, so that
        maps are N(0, I) up to 1e-4 (gsd.noising.points.whiten): .59 and more, in 1.7 times the time of a box. tent:
        bilinear splats, whitened likewise with `ridge`: a little more, in 2.3 times the time.
    """

    def __init__(
        self,
        upsample: Few = 1,
        cells: Annotated[float, Interval(ge=0, le=100)] = 0.6,
        normalization: Normalization = "exact",
        offsets: Offsets = "tangent",
        spread: Annotated[float, Interval(ge=0, le=100)] = 0.7,
        depth_tolerance: Length = 0.1,
        background: Literal["sphere", "fresh"] = "sphere",
        background_radius: Length | None = None,
        refresh: Refresh = "iteration",
        interval: Annotated[Schedule, Within(1, 10**9)] = 10,
        gamma: Annotated[Schedule, Within(0, 1)] = 0.01,
        kernel: Kernel = "trapezoid",
        ridge: Ridge = 0.01,
        sqrt_beta: Fraction = 1.0,
        visibility: Literal["render", "points"] = "render",
        disc: Length = 0.08,
    ) -> None:
        super().__init__(sqrt_beta)
        self.cells, self.visibility, self.disc = cells, visibility, disc
        self.upsample, self.normalization, self.offsets, self.spread = upsample, normalization, offsets, spread
        self.depth_tolerance, self.background, self.background_radius = depth_tolerance, background, background_radius
        self.refresh, self.interval = refresh, interval
        self.kernel, self.ridge = kernel, ridge
        self.drift = Drift(gamma)
        if normalization != "exact" and upsample > 1 and sqrt_beta > 0:
            self.claims = frozenset({"shared"})  # with one sub-point all three are the same

    def maps(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        canvas = Canvas(geometry.depth, channels, self.kernel, self.ridge)
        for name, layer in self.layers(geometry, rng).items():
            canvas.paint(layer, self.values(name, layer.cloud, channels, rng))
        return canvas.maps(rng.sub("fresh"))

    @torch.no_grad()
    def operator(self, geometry: Geometry, rng: Stream) -> Float[Tensor, "R M"] | None:
        """None for whitened kernels and for normalisations that are not exact."""
        if self.kernel != "box" or not {"white", "unit"} <= self.claims:
            return None
        return integral(list(self.layers(geometry, rng).values()), geometry.depth.numel())

    @torch.no_grad()
    def reaches(self, geometry: Geometry, rng: Stream) -> Bool[Tensor, "V 1 h w"]:
        layers = self.layers(geometry, rng)
        return reached([layers[name] for name in ("surface", "cells") if name in layers], self.kernel)

    def layers(self, geometry: Geometry, rng: Stream) -> dict[str, Layer]:
        """The surface's points, the cells where rays end, and the background."""
        if self.visibility == "points":
            geometry = seen_by_discs(geometry, self.disc)
        scene, cameras, depth, alpha = geometry.scene, geometry.cameras, geometry.depth, geometry.alpha
        key = rng.at(0).sub("offset").key()  # the same key for the whole run: sub-points keep their offsets
        points = scene.points.to(depth.dtype)
        spread = self.spread if self.upsample > 1 else 0.0  # a point that is not split is not displaced
        cloud = Cloud(points, frames(scene, self.offsets, spread).to(depth.dtype), scene.ids, self.upsample, key)
        layers = {"surface": Layer(cloud, cameras, alpha > 0.5, depth, self.depth_tolerance)}
        if self.cells > 0:
            hit = surface_cells(geometry, self.cells, RAYS, self.depth_tolerance)
            layers["cells"] = replace(layers["surface"], cloud=hit)
        if self.background == "sphere":
            layers["background"] = background(geometry, self.background_radius)
        return layers

    def values(self, part: str, cloud: Cloud, channels: int, rng: Stream) -> Values:
        """The noise of a cloud's sub-points at this step."""
        if self.refresh == "interval":
            rng = rng.at(_drawn_at(self.interval, rng.step))
        values = Values(rng.sub(part), *COEFFICIENTS[self.normalization](cloud.upsample))
        if self.refresh != "ou":
            return values

        def draw(ids: Int[Tensor, " K"], step: int) -> Float[Tensor, "K N C"]:
            return replace(values, rng=rng.at(step).sub(part)).of(ids, cloud.upsample, channels)

        return replace(values, stored=self.drift(cloud.ids, rng.step, draw))


def _drawn_at(interval: Schedule, step: int) -> int:
    """The last step, at most this one, that is a multiple of what the interval is there."""
    if isinstance(interval, int | float):
        return step - step % round(interval)
    while step % round(at(interval, step)):
        step -= 1
    return step
