"""Geometry of warped noise: which pixels of the anchor, the first view of a group, each pixel of a view takes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.geometry import NEAR, pixel_centres, relative_projection
from gsd.types import Geometry

# Positions in the anchor are rounded to 1/SNAP pixel, as in rasterisers: cameras that differ by rounding errors give
# the same map, and neighbouring pixels have identical corners.
SNAP = 1024


@dataclass(frozen=True)
class Links:
    """What V maps of P pixels take from G anchors of P pixels: link e takes weight[e] of a source pixel's value.

    Each view splits the anchor's values independently of other views, so each view numbers its own copy of the sources,
    v * P + pixel; `origin` maps them to the pixels of the anchors, g * P + pixel.
    """

    target: Int[Tensor, " E"]  # v * P + pixel
    source: Int[Tensor, " E"]  # v * P + pixel of the anchor of view v
    weight: Float[
        Tensor, " E"
    ]  # float64; 0 where there is no link, so that their number is known without a GPU's answer
    origin: Int[Tensor, " VP"]
    anchors: int  # G * P


@dataclass(frozen=True)
class Places:
    """Positions in an anchor's image and the inverse depth there; NaN behind the anchor."""

    x: Float[Tensor, "O *m"]  # pixels, multiples of 1/SNAP
    y: Float[Tensor, "O *m"]
    inverse: Float[Tensor, "O *m"]  # 1 / camera z, 0 for the background


class Warp:
    """Projects the pixels of the views that are not anchors (`others`) into their anchors, in float64.

    `depth` [V, h, w] is the camera z of each pixel: 0 for the background (alpha <= 0.5), a sphere at infinity for which
    only a camera's rotation matters; NaN where an object has no usable depth, which matches no surface.
    """

    def __init__(self, geometry: Geometry, tolerance: float) -> None:
        self.height, self.width = geometry.depth.shape[2:]
        self.tolerance, cameras = tolerance, geometry.cameras
        depth, alpha = (x.detach()[:, 0].double() for x in (geometry.depth, geometry.alpha))
        usable = (alpha > 0.5) & (depth > NEAR) & depth.isfinite()
        self.depth = torch.where(usable, depth, torch.nan).masked_fill(alpha <= 0.5, 0.0)
        cameras = cameras.on_cpu  # which views belong together, and where, is worked out there: no GPU is waited for
        _, group = cameras.group.unique(return_inverse=True)
        self.sizes = group.bincount().tolist()  # views of each group
        anchor = torch.searchsorted(group, group)  # the first view of the same group
        view = torch.arange(len(anchor))
        anchors, others = (x.nonzero()[:, 0] for x in (anchor == view, anchor != view))
        cameras = replace(cameras, viewmats=cameras.viewmats.double(), Ks=cameras.Ks.double())
        rays, shift = relative_projection(cameras[others], cameras[anchor[others]])
        # The anchor's camera centre in the view: the point that projects to zero.
        epipole = -torch.linalg.solve(rays, shift)[..., None, None]
        self.pairs = list(zip(others.tolist(), anchor[others].tolist(), strict=True))
        self.group, self.anchor, self.anchors, self.others, self._rays, self._shift, self._epipole = (
            x.to(depth.device) for x in (group, anchor, anchors, others, rays, shift, epipole)
        )
        self._own = self.depth[self.others]
        self._inverse = inverse_of(self._own)
        # Depth and inverse depth with a margin: a border pixel's missing neighbour is the pixel itself.
        self._padded = F.pad(torch.stack([self._own, self._inverse], 1), (1, 1, 1, 1), mode="replicate")

    def into_anchor(self, x: Float[Tensor, "*#m"], y: Float[Tensor, "*#m"], inverse: Float[Tensor, "O *m"]) -> Places:
        """Project pixel coordinates (x, y) of the others, with inverse depth `inverse`, into their anchors.

        This is eq. 11 divided by the depth, which also holds at infinity.
        """
        ahead = self._component(2, x, y, inverse)
        scale = torch.where(ahead > NEAR * inverse, 1 / ahead, torch.nan)
        return Places(
            x=(self._component(0, x, y, inverse) * scale * SNAP).round() / SNAP,
            y=(self._component(1, x, y, inverse) * scale * SNAP).round() / SNAP,
            inverse=inverse * scale,
        )

    def _component(self, i: int, x: Tensor, y: Tensor, inverse: Tensor) -> Tensor:
        a, b, c, d = (k.view(-1, *[1] * x.ndim) for k in (*self._rays[:, i].unbind(1), self._shift[:, i]))
        return (a * x + b * y + c).addcmul(d, inverse)

    def links(self, mode: Literal["nearest", "bilinear"]) -> Links:
        """Link every pixel to the anchor's pixel that contains its centre, or to the four around it, bilinearly.

        Links exist only to pixels that show the same surface from the same side. Anchors link to themselves.
        """
        area = self.height * self.width
        at = self.into_anchor(*self._centres(), self._inverse)
        if mode == "nearest":
            x, y, weight = at.x.floor()[None], at.y.floor()[None], torch.ones_like(at.x)[None]
        else:
            left, top = (at.x - 0.5).floor(), (at.y - 0.5).floor()
            right, down = at.x - 0.5 - left, at.y - 0.5 - top
            x, y = torch.stack([left, left + 1, left, left + 1]), torch.stack([top, top, top + 1, top + 1])
            weight = torch.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
        linked = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height) & (weight > 0)
        cell = torch.where(linked, y * self.width + x, 0).long()  # [4 or 1, O, h, w]
        anchor_depth = self.depth.take(self.anchor[self.others, None, None] * area + cell)
        linked &= self._faces_anchor() & same_surface(inverse_of(at.inverse), anchor_depth, self.tolerance)
        pixel = torch.arange(area, device=cell.device)
        own = (self.anchors[:, None] * area + pixel).flatten()
        first = (self.others * area)[:, None, None]
        target = (first + pixel.view(self.height, self.width)).expand_as(cell)
        return Links(
            target=torch.cat([own, target.flatten()]),
            source=torch.cat([own, (first + cell).flatten()]),
            weight=torch.cat([torch.ones_like(own, dtype=weight.dtype), torch.where(linked, weight, 0.0).flatten()]),
            origin=(self.group[:, None] * area + pixel).flatten(),
            anchors=len(self.sizes) * area,
        )

    def outlines(self) -> Places:
        """Project a 3 x 3 grid over each pixel (corners, edge midpoints, centre) into the anchor, [O, h, w, 9].

        The inverse depth of a corner is the mean of the four pixels that meet there, exact on a plane and the same for
        all four; the depth of a pixel that shows another surface is replaced by the pixel's own.
        """
        nearby = [self._neighbour(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        inverse = torch.stack(nearby, -1).unflatten(-1, (3, 3))
        inverse = (inverse + inverse[..., 1:2, :]) / 2
        inverse = (inverse + inverse[..., :, 1:2]) / 2
        step = torch.arange(-0.5, 1, 0.5, dtype=inverse.dtype, device=inverse.device)
        x, y = (c[..., None, None] for c in self._centres())
        at = self.into_anchor(x + step, y + step[:, None], inverse)
        return Places(at.x.flatten(3), at.y.flatten(3), at.inverse.flatten(3))

    def _faces_anchor(self) -> Bool[Tensor, "O h w"]:
        """Whether the anchor is on the side of the surface that the view sees.

        A plane is 1 / z = a x + b y + c in pixel coordinates, so a point with homogeneous pixel coordinates
        (u, v, z) = K X is on the camera's side of it if a u + b v + c z < 1.
        """
        x, y = self._centres()
        a = (self._neighbour(0, 1) - self._neighbour(0, -1)) / 2
        b = (self._neighbour(1, 0) - self._neighbour(-1, 0)) / 2
        ex, ey, ez = self._epipole.unbind(1)
        return a * (ex - x * ez) + b * (ey - y * ez) + self._inverse * ez < 1

    def _neighbour(self, down: int, right: int) -> Float[Tensor, "O h w"]:
        """Inverse depth of every pixel's neighbour; the pixel's own where that shows another surface or none."""
        rows, columns = slice(1 + down, 1 + down + self.height), slice(1 + right, 1 + right + self.width)
        near, inverse = self._padded[:, :, rows, columns].unbind(1)
        return torch.where(same_surface(near, self._own, self.tolerance), inverse, self._inverse)

    def _centres(self) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
        x, y = pixel_centres(self.height, self.width, torch.float64, self.depth.device).unbind(-1)
        return x, y


def same_surface(a: Float[Tensor, "*#n"], b: Float[Tensor, "*#n"], tolerance: float) -> Bool[Tensor, "*#n"]:
    """Whether two depths are of one surface: both of the background, or less than the tolerance apart."""
    return ((a - b).abs() < tolerance) & ((a == 0) == (b == 0))


def inverse_of(depth: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """1 / depth; 0 stands for infinity in both."""
    return torch.where(depth == 0, depth, 1 / depth)
