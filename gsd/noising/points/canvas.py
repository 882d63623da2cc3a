"""From points with noise values to maps: sub-points, visibility and the integral over a pixel.

CPU float32 tensors go through numba kernels, those on CUDA through Triton's, others through plain torch; the functions
`*_torch` are the torch twins. On CUDA, where additions happen in any order, sums are kept in fixed point, so that the
same step gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.backend.device import compiled
from gsd.backend.triton import launch, on_triton
from gsd.geometry import NEAR, project
from gsd.noising.points import paint_kernels
from gsd.noising.points.counter import hashed, normal
from gsd.noising.points.whiten import whiten
from gsd.random import Stream
from gsd.types import Cameras

Kernel = Literal["box", "trapezoid", "tent"]
# Width, in pixels, of the strip between two pixels in which a sub-point feeds both: its weight in the one falls there
# from 1 to 0, and in the other rises. Two-dimensional weights are products, so that at most four pixels are fed.
RAMPS: dict[Kernel, float] = {"box": 0.0, "trapezoid": 0.5, "tent": 1.0}

SCALE = 2.0**36  # of sums in fixed point, as in paint_triton


@dataclass(frozen=True)
class Cloud:
    """K points, each split into `upsample` sub-points at points[k] + frames[k] u; u depends on key and id alone."""

    points: Float[Tensor, "K 3"]
    frames: Float[Tensor, "K 3 3"]
    ids: Int[Tensor, " K"]
    upsample: int
    key: int  # for drawing u

    def places(self) -> Float[Tensor, "K N 3"]:
        u = bell(self.key, child_ids(self.ids, self.upsample)).unflatten(0, (len(self.ids), self.upsample))
        return self.points[:, None] + torch.einsum("kij,knj->kni", self.frames, u.to(self.frames.dtype))


@dataclass(frozen=True)
class Layer:
    """A cloud, the cameras that look at it, and the pixels that may show it."""

    cloud: Cloud
    cameras: Cameras  # of h x w pixels
    accepts: Bool[Tensor, "V 1 h w"]  # pixels that may show it
    depth: Float[Tensor, "V 1 h w"] | None = None  # if given, only sub-points within `tolerance` of it are visible
    tolerance: float = 0.0  # world units of camera z
    boxes: bool = False  # whatever the kernel of the canvas


@dataclass(frozen=True)
class Values:
    """The noise of the sub-points: m_s = own n + fresh (z_s - mean z) of independent N(0, 1) n and z.

    With own = 1 / sqrt(N) and fresh = 1 the m_s are independent N(0, 1) and sum_s m_s / sqrt(N) = n: conditional
    upsampling (Chang et al. 2024, eq. 7). The m_s are drawn by id, or taken from `stored` if given.
    """

    rng: Stream
    own: float
    fresh: float
    stored: Float[Tensor, "K N C"] | None = None

    def keys(self) -> tuple[int, int]:
        return self.rng.sub("parent").key(), self.rng.sub("child").key()

    def of(self, ids: Int[Tensor, " K"], upsample: int, channels: int) -> Float[Tensor, "K N C"]:
        """Draw the values of the points with these ids."""
        if not compiled(ids):
            return self.of_torch(ids, upsample, channels)
        out = torch.empty(len(ids), upsample, channels)
        keys = [np.uint64(key) for key in self.keys()]
        paint_kernels.sub_values(
            ids.numpy(), upsample, *keys, np.float32(self.own), np.float32(self.fresh), out.numpy()
        )
        return out

    def of_torch(self, ids: Int[Tensor, " K"], upsample: int, channels: int) -> Float[Tensor, "K N C"]:
        n, z = (normal(key, i, channels) for key, i in zip(self.keys(), (ids, child_ids(ids, upsample)), strict=True))
        z = z.unflatten(0, (len(ids), upsample))
        return self.own * n[:, None] + self.fresh * (z - z.mean(1, keepdim=True))


def child_ids(ids: Int[Tensor, " K"], upsample: int) -> Int[Tensor, " M"]:
    """The ids of the `upsample` sub-points of every point, parent by parent."""
    return (ids[:, None] * upsample + torch.arange(upsample, device=ids.device)).flatten()


def bell(key: int, ids: Int[Tensor, " M"]) -> Float[Tensor, "M 3"]:
    """Three independent numbers of mean 0 and variance 1 per id, each the sum of three uniform numbers of seven bits.

    The offset of a sub-point need not be exactly normal: this is five times as fast as `normal`, and |u_i| < 3.
    """
    bits = hashed(key, ids)[:, None, None] >> (21 * torch.arange(3, device=ids.device)[:, None]
                                               + 7 * torch.arange(3, device=ids.device))  # fmt: skip
    return ((bits & 127).sum(2) - 190.5).float() * 0.015625476


class Canvas:
    """V maps into which the values of sub-points are splatted.

    kernel=box: a sub-point feeds the pixel that contains it, and a pixel is sum(m) / sqrt(count) (eq. 8 of the paper).
    kernel=trapezoid: near the edge of a pixel it feeds the neighbour too (RAMPS), and the symmetric inverse square root
    of the pixels' Gram matrix then decorrelates neighbours, see gsd.noising.points.whiten. kernel=tent: the same with
    bilinear weights. With each, independent N(0, 1) values give maps that are N(0, I), whatever the geometry; pixels
    that no sub-point reaches get fresh noise.
    """

    def __init__(self, like: Float[Tensor, "V 1 h w"], channels: int, kernel: Kernel, ridge: float) -> None:
        """Empty maps with the size, dtype and device of `like`, such as the depth."""
        self.kernel, self.ramp = kernel, RAMPS[kernel]
        self.ridge = ridge if kernel == "tent" else None
        views, _, height, width = like.shape
        self.shape = (views, channels, height, width)
        self.dtype = like.dtype
        kept = torch.int64 if like.is_cuda else like.dtype  # fixed point, or the values themselves
        self.total = like.new_zeros(views, height * width, channels, dtype=kept)
        # Products of the splatting weights of a pixel with itself and, but for the box, with four neighbours
        self.gram = like.new_zeros(views, height * width, 1 if kernel == "box" else 5, dtype=kept)

    def paint(self, layer: Layer, values: Values) -> None:
        """Splat the visible sub-points of a layer into the maps, in place.

        A sub-point is visible in front of the camera where the pixel that contains it accepts it, within the tolerance
        of the layer's depth if it has one; a neighbour that it would feed must accept it too. NaN and infinite points
        are never visible.

        Args:
            layer: points, cameras and pixels, for as many views and of the same size as the canvas.
            values: the noise of the layer's sub-points; independent N(0, 1) for maps that are N(0, I).
        """
        cloud, cameras, depth = layer.cloud, layer.cameras, layer.depth
        if on_triton(cloud.points) and self.dtype == torch.float32:
            self._paint_triton(layer, values)
            return
        if not (compiled(self.total) and compiled(cloud.points)):
            self.paint_torch(layer, values)
            return
        views, _, channels = self.total.shape
        stored = np.empty((0, 1, channels), np.float32) if values.stored is None else values.stored.numpy()
        surface = torch.empty(views, 0) if depth is None else depth.flatten(1)
        paint_kernels.paint(
            np.float32(RAMPS[self.splats(layer)]),
            cloud.points.contiguous().numpy(),
            cloud.frames.contiguous().numpy(),
            cloud.ids.contiguous().numpy(),
            cloud.upsample,
            np.uint64(cloud.key),
            np.array(values.keys(), np.uint64),
            np.float32(values.own),
            np.float32(values.fresh),
            stored,
            cameras.viewmats.contiguous().numpy(),
            cameras.Ks.contiguous().numpy(),
            cameras.width,
            cameras.height,
            np.float32(NEAR),
            layer.accepts.flatten(1).numpy(),
            surface.contiguous().numpy(),
            np.float32(layer.tolerance),
            self.total.numpy(),
            self.gram.numpy(),
        )

    def splats(self, layer: Layer) -> Kernel:
        """The kernel of a layer's sub-points."""
        return "box" if layer.boxes else self.kernel

    def _paint_triton(self, layer: Layer, values: Values) -> None:
        from gsd.noising.points import paint_triton

        cloud, cameras = layer.cloud, layer.cameras
        views, _, channels = self.total.shape
        padded = 1 << (cloud.upsample - 1).bit_length()
        unused = cloud.points  # a pointer that is not followed
        launch(
            paint_triton.paint,
            len(cloud.points),
            cloud.points.contiguous(),
            cloud.frames.contiguous(),
            cloud.ids.contiguous(),
            unused if values.stored is None else values.stored.contiguous(),
            cameras.viewmats.contiguous(),
            cameras.Ks.contiguous(),
            layer.accepts.flatten(1).contiguous(),
            unused if layer.depth is None else layer.depth.flatten(1).contiguous(),
            self.total,
            self.gram,
            cloud.key,
            *values.keys(),
            values.own,
            values.fresh,
            NEAR,
            layer.tolerance,
            len(cloud.points),
            cameras.width,
            cameras.height,
            N=cloud.upsample,
            NP=padded,
            V=views,
            C=channels,
            width=padded,
            DEPTH=layer.depth is not None,
            STORED=values.stored is not None,
            RAMP=RAMPS[self.splats(layer)],
            PRODUCTS=self.gram.shape[2],
        )

    def paint_torch(self, layer: Layer, values: Values) -> None:
        cloud = layer.cloud
        pixel, weight = reach(layer, self.splats(layer))
        seen = (pixel >= 0).flatten(2).any(2).any(0).unflatten(0, (-1, cloud.upsample)).any(1).nonzero()[:, 0]
        if values.stored is None:
            drawn = values.of(cloud.ids[seen], cloud.upsample, self.total.shape[2])
        else:
            drawn = values.stored[seen]
        rows = child_ids(seen, cloud.upsample)
        drawn, weight = (x.to(self.dtype) for x in (drawn.flatten(0, 1), weight[:, rows]))
        pixel = pixel[:, rows]
        area = self.total.shape[1]
        view, point, corner = (pixel >= 0).nonzero(as_tuple=True)  # dropping the misses first is several times faster
        row = view * area + pixel[view, point, corner]
        splat = weight[view, point, corner]
        self.total.flatten(0, 1).index_add_(0, row, self._kept(splat[:, None] * drawn[point]))
        products = [splat**2]
        if self.ramp:
            steps = ((0, 1), (1, -1), (1, 0), (1, 1))
            boxed = weight.shape[2] == 1  # a box among trapezoids
            products += [0 * splat if boxed else _product(weight, view, point, corner, step) for step in steps]
        self.gram.flatten(0, 1).index_add_(0, row, self._kept(torch.stack(products, 1)))

    def _kept(self, x: Float[Tensor, "M C"]) -> Tensor:
        return (x.double() * SCALE).long() if self.total.dtype == torch.int64 else x

    def sums(self) -> tuple[Float[Tensor, "V P C"], Float[Tensor, "V P G"]]:
        """The weighted values and the products of weights, as numbers."""
        if self.total.dtype != torch.int64:
            return self.total, self.gram
        total, gram = ((x.double() / SCALE).to(self.dtype) for x in (self.total, self.gram))
        return total, gram

    def maps(self, rng: Stream) -> Float[Tensor, "V C h w"]:
        """The normalised maps of all layers painted; `rng` draws the noise of empty pixels and z."""
        if self.ramp:
            return whiten(*self.sums(), self.shape, self.ridge, rng)
        if on_triton(self.total) and self.dtype == torch.float32:
            return self._maps_triton(rng)
        if not compiled(self.total):
            return self.maps_torch(rng)
        out = torch.empty(self.shape)
        paint_kernels.normalise(self.total.numpy(), self.gram.numpy(), np.uint64(rng.key()), out.flatten(2).numpy())
        return out

    def _maps_triton(self, rng: Stream) -> Float[Tensor, "V C h w"]:
        from gsd.noising.points import paint_triton

        out = self.total.new_empty(self.shape, dtype=self.dtype)
        _, channels, height, width = self.shape
        size = (out.numel(), height * width, channels)
        launch(paint_triton.normalise, size[0], self.total, self.gram, out, rng.key(), *size)
        return out

    def maps_torch(self, rng: Stream) -> Float[Tensor, "V C h w"]:
        total, gram = self.sums()
        count = gram[..., 0]
        maps = total * count.clamp_min(1).rsqrt()[..., None]
        view, pixel = (count == 0).nonzero(as_tuple=True)
        maps[view, pixel] = normal(rng.key(), view * count.shape[1] + pixel, maps.shape[2]).to(maps.dtype)
        return maps.transpose(1, 2).reshape(self.shape)


def reach(layer: Layer, kernel: Kernel) -> tuple[Int[Tensor, "V M E"], Float[Tensor, "V M E"]]:
    """The flat pixel numbers that each sub-point feeds in each view (-1: none), and its weights there (0: none).

    E is 1 for the box, else 4: the pixels at (0, 0), (0, 1), (1, 0), (1, 1) from the upper left one.
    """
    cameras = layer.cameras
    coords, z = project(layer.cloud.places().flatten(0, 1), cameras)
    front = (z > NEAR) & coords.isfinite().all(-1)
    coords = torch.where(front[..., None], coords, torch.full_like(coords, -9.0)).clamp(-9, 1e6)
    pixel, seen = _accepted(layer, coords.floor()[:, :, None], z)
    weight = torch.ones_like(coords[..., :1])
    if kernel != "box":
        lower = (coords - 0.5).floor()
        right, down = ((coords - lower - 1) / RAMPS[kernel] + 0.5).clamp(0, 1).unbind(-1)
        weight = torch.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], -1)
        contained = seen
        pixel, seen = _accepted(layer, lower[:, :, None] + coords.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]]), z)
        seen &= contained & (weight > 0)
    return torch.where(seen, pixel, -1), torch.where(seen, weight, 0.0)


def _accepted(
    layer: Layer, place: Float[Tensor, "V M E 2"], z: Float[Tensor, "V M"]
) -> tuple[Int[Tensor, "V M E"], Bool[Tensor, "V M E"]]:
    """The flat numbers of pixels (0 outside the image), and whether they accept sub-points of this camera z."""
    width, height = layer.cameras.width, layer.cameras.height
    x, y = place.long().unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixel = torch.where(inside, y * width + x, 0)
    seen = inside & layer.accepts.flatten(1).gather(1, pixel.flatten(1)).view_as(pixel)
    if layer.depth is not None:
        surface = layer.depth.flatten(1).gather(1, pixel.flatten(1)).view_as(pixel)
        seen &= (z[..., None] - surface).abs() < layer.tolerance
    return pixel, seen


def _product(
    weight: Float[Tensor, "V M 4"],
    view: Int[Tensor, " E"],
    point: Int[Tensor, " E"],
    corner: Int[Tensor, " E"],
    step: tuple[int, int],
) -> Float[Tensor, " E"]:
    """Each entry's weight times the same sub-point's weight in the pixel at (dy, dx) from it, else 0."""
    dy, dx = corner // 2 + step[0], corner % 2 + step[1]
    valid = (dy < 2) & (dx >= 0) & (dx < 2)
    other = torch.where(valid, 2 * dy + dx, 0)
    return weight[view, point, corner] * weight[view, point, other] * valid


def reached(layers: Sequence[Layer], kernel: Kernel) -> Bool[Tensor, "V 1 h w"]:
    """The pixels that a sub-point of the layers feeds."""
    canvas = Canvas(layers[0].accepts.to(layers[0].cloud.points.dtype), 1, kernel, 1.0)
    for layer in layers:
        canvas.paint(layer, Values(Stream(0, "reached"), 1.0, 0.0))
    return (canvas.gram[..., 0] > 0).view_as(layers[0].accepts)
