"""3D consistent noising: noise that lives on the surface and is seen by every view (section 4.2 of the paper)."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from gsd.geometry import resize_depth
from gsd.noising.base import Correlated, Share
from gsd.noising.counter import normal
from gsd.noising.splat import Canvas, child_ids, land, near_cone, sub_values
from gsd.random import Stream
from gsd.types import Cameras, Render, Scene


class Consistent(Correlated):
    """Every point carries a noise value; a view's pixel sums the values of the points it sees (eq. 7 and 8).

    Each of the scene's points is split into `upsample` sub-points, `spread` (world units, standard deviation) around
    it, with m_s = n / sqrt(N) + z_s - mean(z): exactly independent N(0, 1), where the printed eq. 7 has variance 1/N.
    A pixel is sum(m) / sqrt(count) over the sub-points that project into it and lie within `depth_tolerance` (world
    units, z against z) of the rendered depth. Pixels with alpha <= 0.5 see a sphere of `background_points` directions
    treated the same way; pixels that no point reaches get fresh noise. Each sub-point feeds at most one pixel of a
    view and the choice depends on geometry alone, so every map is exactly N(0, I); views that see the same surface
    share its values. Values are drawn anew at every step; where a sub-point lies about its point stays.
    """

    def __init__(
        self,
        upsample: PositiveInt = 9,
        spread: NonNegativeFloat = 0.02,
        depth_tolerance: PositiveFloat = 0.1,
        background_points: PositiveInt = 16_000,
        sqrt_beta: Share = 1.0,
    ) -> None:
        super().__init__(sqrt_beta)
        self.upsample, self.spread, self.depth_tolerance = upsample, spread, depth_tolerance
        self.background_points = background_points
        self._kept: tuple[Tensor, Stream, Tensor] | None = None

    def maps(
        self, scene: Scene, render: Render, cameras: Cameras, shape: tuple[int, int, int, int], rng: Stream
    ) -> Float[Tensor, "V C h w"]:
        cameras = cameras.resized(shape[3], shape[2])
        depth, alpha = resize_depth(render.depth, render.alpha, shape[2:])
        canvas = Canvas(shape, depth.dtype, depth.device)
        inside = alpha > 0.5
        surface = land(scene.points, self._offsets(scene, rng.at(0)), cameras, inside, depth, self.depth_tolerance)
        self._paint(canvas, scene.ids, *surface, rng.sub("surface"))
        self._paint_background(canvas, cameras, ~inside, rng.sub("background"))
        return canvas.maps(rng.sub("fresh"))

    def _offsets(self, scene: Scene, rng: Stream) -> Float[Tensor, "K N 3"]:
        """Of every point's sub-points; kept until the points are others, for they cost as much as the values."""
        if self._kept is None or self._kept[0] is not scene.ids or self._kept[1] != rng:
            unit = normal(rng.sub("offset").key(), child_ids(scene.ids, self.upsample), 3)
            self._kept = (scene.ids, rng, self.spread * unit.unflatten(0, (len(scene.ids), self.upsample)))
        return self._kept[2]

    def _paint_background(
        self, canvas: Canvas, cameras: Cameras, outside: Bool[Tensor, "V 1 h w"], rng: Stream
    ) -> None:
        """The sphere at infinity: only a camera's rotation matters; only points near its cone are looked at."""
        directions, offsets = _sphere(self.background_points, self.upsample, cameras.Ks.device)
        corner = math.hypot(cameras.width, cameras.height) / 2 / float(cameras.Ks[:, 0, 0].min())
        cone = math.atan(corner) + 2 * _spacing(self.background_points)
        ahead = near_cone(directions, cameras.viewmats[:, 2, :3], math.cos(cone))
        turned = replace(cameras, viewmats=_without_translation(cameras.viewmats))
        pixel, seen = land(directions.index_select(0, ahead), offsets.index_select(0, ahead), turned, outside)
        self._paint(canvas, ahead, pixel, seen, rng)

    def _paint(
        self, canvas: Canvas, ids: Int[Tensor, " K"], pixel: Int[Tensor, "V K N"], seen: Int[Tensor, " S"], rng: Stream
    ) -> None:
        """Values are made for the points of which any view sees a part; the others need none."""
        canvas.add(sub_values(ids[seen], self.upsample, canvas.shape[1], rng), seen, pixel)


def _without_translation(viewmats: Float[Tensor, "V 4 4"]) -> Float[Tensor, "V 4 4"]:
    turned = viewmats.clone()
    turned[:, :3, 3] = 0
    return turned


def _spacing(points: int) -> float:
    """Mean distance of neighbours among `points` directions, radians."""
    return math.sqrt(4 * math.pi / points)


@lru_cache(maxsize=2)
def _sphere(points: int, upsample: int, device: torch.device) -> tuple[Float[Tensor, "K 3"], Float[Tensor, "K N 3"]]:
    """Fibonacci directions of equal area and the offsets of their sub-points, half a spacing around each."""
    k = torch.arange(points, dtype=torch.float64) + 0.5
    z = 1 - 2 * k / points
    angle = math.pi * (1 + 5**0.5) * k
    radius = (1 - z * z).sqrt()
    directions = torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1).float()
    unit = normal(0, torch.arange(points * upsample), 3).unflatten(0, (points, upsample))
    return directions.to(device), (0.5 * _spacing(points) * unit).to(device)
