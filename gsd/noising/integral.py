"""2D integral noising: a pixel sums the noise over the area that it covers in the anchor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from jaxtyping import Float, Int
from torch import Tensor

from gsd.backend.device import compiled
from gsd.backend.triton import launch, on_triton
from gsd.noising.points.canvas import SCALE
from gsd.noising.warped import warp_kernels as kernels
from gsd.noising.warped.anchored import Anchored, Sparse, Split, split
from gsd.noising.warped.warp import Warp, inverse_of, same_surface
from gsd.ranges import Fraction, Length

RING = (0, 1, 2, 5, 8, 7, 6, 3)  # the points of a 3 x 3 grid (by rows) around its centre, clockwise
WIDEST = 16  # pixels of the anchor; a larger triangle of a pixel is not a surface that both views see


class Integral(Anchored):
    """Warps the anchor's noise into the other views so that it stays exactly white noise.

    chang (Chang et al. 2024, "How I warped your noise"): a pixel of the anchor consists of 2^k x 2^k sub-pixels with
    independent values and is their sum / 2^k. A pixel of another view, as eight triangles around its centre, is
    projected into the anchor and is the sum / sqrt(count) of the sub-pixels it covers. All views of a group sum the
    same sub-values, so two views that are not the anchor are coupled too. (The authors draw the anchor's noise first
    and then its sub-values given that; the joint distribution is the same.)

    deng (Deng et al. 2025, "Infinite-resolution integral noise warping", for particles): a pixel links to the anchor's
    four pixels around it with bilinear weights; each value is split among the linked pixels by the increments of a
    Brownian bridge, and a pixel is the sum of its parts / sqrt(area). Views other than the anchor are coupled through
    the anchor's values alone.
    """

    def __init__(
        self,
        algorithm: Literal["chang", "deng"] = "chang",
        k: Annotated[int, Interval(ge=0, le=5)] = 3,
        depth_tolerance: Length = 0.1,
        sqrt_beta: Fraction = 1.0,
    ) -> None:
        super().__init__(depth_tolerance, sqrt_beta)
        self.algorithm, self.k = algorithm, k

    def matrix(self, warp: Warp) -> Owned | Split:
        return split(warp.links("bilinear")) if self.algorithm == "deng" else owned(warp, 2**self.k)


@dataclass(frozen=True)
class Owned:
    """The matrix whose pixels are sum / sqrt(count) of the sub-values they own, or a fresh value if they own none.

    The operand stacks the sub-values of all groups and one fresh value per pixel.
    """

    owner: Int[Tensor, "V S"]  # the pixel v * P + pixel that owns each sub-value of the view's group, or -1
    group: Int[Tensor, " V"]
    groups: int
    pixels: int  # V * P

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels, self._drawn + self.pixels

    @property
    def _drawn(self) -> int:
        return self.groups * self.owner.shape[1]

    def _count(self) -> Int[Tensor, " VP"]:
        owner = self.owner.flatten().long() + 1
        count = torch.zeros(self.pixels + 1, dtype=torch.int64, device=owner.device)
        return count.index_add_(0, owner, owner.sign())[1:]

    def __matmul__(self, x: Float[Tensor, "M C"]) -> Float[Tensor, "VP C"]:
        subs, own = x.split([self._drawn, self.pixels])
        count = self._count()[:, None]
        if compiled(x):
            total = torch.zeros_like(own)
            kernels.add_owned(self.owner.numpy(), self.group.numpy(), subs.numpy(), total.numpy())
        else:
            total = self._sum_torch(subs).to(own)
        return torch.where(count > 0, total * count.clamp_min(1).rsqrt(), own)

    def _sum_torch(self, subs: Float[Tensor, "M C"]) -> Float[Tensor, "VP C"]:
        """The twin of add_owned; in fixed point, so that the order in which a GPU adds does not matter."""
        values = (subs.unflatten(0, (self.groups, -1))[self.group].flatten(0, 1).double() * SCALE).long()
        total = torch.zeros(self.pixels + 1, subs.shape[1], dtype=torch.int64, device=subs.device)
        return total.index_add_(0, self.owner.flatten().long() + 1, values)[1:] / SCALE

    def sparse(self) -> Sparse:
        view, sub = (self.owner >= 0).nonzero(as_tuple=True)
        row, count = self.owner[view, sub].long(), self._count()
        empty = (count == 0).nonzero()[:, 0]
        return Sparse(
            torch.cat([row, empty]),
            torch.cat([self.group[view] * self.owner.shape[1] + sub, self._drawn + empty]),
            torch.cat([count.double().rsqrt()[row], torch.ones_like(empty, dtype=torch.float64)]),
            self.shape,
        )

    def coo(self) -> Float[Tensor, "VP M"]:
        return self.sparse().coo()


def owned(warp: Warp, per_pixel: int) -> Owned:
    """Which pixel of each view owns each of the anchor's h n x w n sub-pixels; n = per_pixel."""
    area = warp.height * warp.width
    pixel = torch.arange(area, dtype=torch.int32, device=warp.depth.device).view(warp.height, warp.width)
    own = pixel.repeat_interleave(per_pixel, 0).repeat_interleave(per_pixel, 1)
    owner = own.expand(len(warp.anchor), -1, -1) + warp.anchor.int()[:, None, None] * area
    at = warp.outlines()
    for n, (view, anchor) in enumerate(warp.pairs):
        x, y, inverse = (c[n].flatten(0, 1) for c in (at.x, at.y, at.inverse))
        covering = cover(x, y, inverse, warp.depth[anchor], per_pixel, warp.tolerance)
        owner[view] = torch.where(covering >= 0, covering + view * area, -1)
    return Owned(owner.flatten(1), warp.group, len(warp.sizes), owner.shape[0] * area)


def cover(
    x: Float[Tensor, "P 9"],
    y: Float[Tensor, "P 9"],
    inverse: Float[Tensor, "P 9"],
    depth: Float[Tensor, "h w"],
    per_pixel: int,
    tolerance: float,
) -> Int[Tensor, "hn wn"]:
    """The owner of each sub-pixel in one view: the first pixel that covers its centre with the anchor's surface, or -1.

    x, y and inverse: from Warp.outlines, for one view; depth: of its anchor. Coordinates and the centres of sub-pixels
    are dyadic, so the test whether a centre lies in a triangle is exact. Triangles that face away from the anchor, or
    are larger than WIDEST of its pixels, cover nothing.
    """
    size = depth.shape[0] * per_pixel, depth.shape[1] * per_pixel
    if on_triton(x, torch.float64):
        from gsd.noising.warped.cover_triton import cover as kernel

        nobody = len(x)
        owner = torch.full(size, nobody, dtype=torch.int32, device=depth.device)
        ring = torch.tensor(RING, dtype=torch.int32, device=depth.device)
        planes = (t.contiguous() for t in (x, y, inverse))
        launch(
            kernel, 8 * len(x), *planes, ring, depth.contiguous(), owner,
            8 * len(x), size[1], size[0], depth.shape[1], per_pixel, WIDEST, tolerance,
        )  # fmt: skip
        return torch.where(owner == nobody, -1, owner)
    if depth.device.type != "cpu":
        return cover_torch(x, y, inverse, depth, per_pixel, tolerance)
    owner = torch.full(size, -1, dtype=torch.int32)
    kernels.cover(
        x.numpy(), y.numpy(), inverse.numpy(), RING, depth.numpy(), per_pixel, WIDEST, tolerance, owner.numpy()
    )
    return owner


def cover_torch(
    x: Float[Tensor, "P 9"],
    y: Float[Tensor, "P 9"],
    inverse: Float[Tensor, "P 9"],
    depth: Float[Tensor, "h w"],
    per_pixel: int,
    tolerance: float,
) -> Int[Tensor, "hn wn"]:
    ring = torch.tensor(RING, device=depth.device)
    corners = torch.stack([torch.full_like(ring, 4), ring, ring.roll(-1)], 1)  # [8, 3]
    triangle = torch.stack([x, y], -1)[:, corners].flatten(0, 1)  # [T, 3, 2]
    low, high = triangle.amin(1), triangle.amax(1)
    limit = depth.new_tensor([depth.shape[1], depth.shape[0]])
    good = (_cross(*triangle.unbind(1)) > 0) & ((high - low <= WIDEST) & (high >= 0) & (low <= limit)).all(1)
    pixel = good.nonzero()[:, 0] // 8
    triangle, far = triangle[good], inverse[:, corners].flatten(0, 1)[good]

    first = (low[good] * per_pixel - 0.5).ceil().clamp_min(0)
    last = torch.minimum((high[good] * per_pixel - 0.5).floor(), limit * per_pixel - 1)
    size = (last - first + 1).clamp_min(0).long()  # [T, 2] of the box
    count = size.prod(1)
    t = torch.repeat_interleave(count)  # every sub-pixel in every triangle's box
    nth = torch.arange(len(t), device=t.device) - (count.cumsum(0) - count)[t]
    sub_x, sub_y = first[t, 0].long() + nth % size[t, 0], first[t, 1].long() + nth // size[t, 0]
    centre = (torch.stack([sub_x, sub_y], 1) + 0.5) / per_pixel
    a, b, c = triangle[t].unbind(1)
    weight = torch.stack([_cross(centre, b, c), _cross(centre, c, a), _cross(centre, a, b)], 1)
    z = inverse_of((weight * far[t]).sum(1) / weight.sum(1))
    anchor_z = depth[sub_y // per_pixel, sub_x // per_pixel]
    covered = (weight >= 0).all(1) & same_surface(z, anchor_z, tolerance)
    owner = torch.full((depth.shape[0] * per_pixel, depth.shape[1] * per_pixel), len(x), device=depth.device)
    place = (sub_y * owner.shape[1] + sub_x)[covered]
    owner.view(-1).scatter_reduce_(0, place, pixel[t[covered]], "amin")
    return torch.where(owner == len(x), -1, owner).int()


def _cross(origin: Float[Tensor, "T 2"], a: Float[Tensor, "T 2"], b: Float[Tensor, "T 2"]) -> Float[Tensor, " T"]:
    """Twice the signed area of a triangle."""
    (ax, ay), (bx, by) = (a - origin).unbind(1), (b - origin).unbind(1)
    return ax * by - ay * bx
