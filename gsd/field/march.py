"""Rays, and the samples along them that lie in occupied space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.backend.device import compiled
from gsd.backend.triton import launch, on_triton
from gsd.field import field_kernels as kernels
from gsd.geometry import NEAR, pixel_centres
from gsd.types import Cameras


@dataclass(frozen=True)
class Rays:
    """R rays with the stretch of each that lies in a ball around the origin; far <= near where it misses."""

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]  # unit
    cosine: Float[Tensor, " R"]  # camera-space z per unit of distance
    near: Float[Tensor, " R"]  # world units from the origin of the ray
    far: Float[Tensor, " R"]

    def __getitem__(self, chosen: slice) -> Rays:
        return Rays(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Samples:
    """M samples, those of a ray together and front to back: ray r has offsets[r] to offsets[r + 1]."""

    times: Float[Tensor, " M"]  # distance from the origin of the ray
    offsets: Int[Tensor, " R1"]  # R + 1
    ray: Int[Tensor, " M"] | None = None  # of each sample, where a kernel has written it

    def rays(self) -> Int[Tensor, " M"]:
        """The ray of each sample."""
        if self.ray is not None:
            return self.ray
        counts = self.offsets.diff()
        numbers = torch.arange(len(counts), device=counts.device)
        return torch.repeat_interleave(numbers, counts, output_size=len(self.times))


@torch.no_grad()
def rays_of(cameras: Cameras, radius: float) -> Rays:
    """One ray through every pixel centre, view by view and row by row, within the ball of `radius` world units."""
    return (_rays_triton if on_triton(cameras.viewmats) else rays_torch)(cameras, radius)


def _rays_triton(cameras: Cameras, radius: float) -> Rays:
    from gsd.field import march_triton

    viewmats, pixels = cameras.viewmats.contiguous(), cameras.height * cameras.width
    count = len(cameras) * pixels
    rays = Rays(*(viewmats.new_empty(count, *size) for size in ((3,), (3,), (), (), ())))
    launch(
        march_triton.cast, count, viewmats, cameras.Ks.contiguous(), *vars(rays).values(), radius, NEAR, count,
        cameras.width, pixels,
    )  # fmt: skip
    return rays


def rays_torch(cameras: Cameras, radius: float) -> Rays:
    """As `rays_of`, on the CPU and as the kernel's twin."""
    rotation, shift = cameras.viewmats[:, :3, :3], cameras.viewmats[:, :3, 3]
    pixels = F.pad(pixel_centres(cameras.height, cameras.width, shift.dtype, shift.device), (0, 1), value=1.0)
    in_camera = F.normalize(pixels.view(-1, 3) @ torch.linalg.inv_ex(cameras.Ks).inverse.mT, dim=-1)  # [V, HW, 3]
    directions = (in_camera @ rotation).flatten(0, 1)
    eyes = -torch.einsum("vij,vi->vj", rotation, shift)
    origins = eyes.repeat_interleave(len(in_camera[0]), 0)
    middle = -(origins * directions).sum(1)
    half = radius**2 - (origins + middle[:, None] * directions).square().sum(1)
    reach = half.clamp_min(0).sqrt()
    near = (middle - reach).clamp_min(NEAR)
    far = torch.where(half > 0, middle + reach, near)
    return Rays(origins, directions, in_camera[..., 2].flatten(), near, far)


@torch.no_grad()
def march(
    rays: Rays, shift: Float[Tensor, " R"], step: float, occupied: Bool[Tensor, "G G G"], bound: float
) -> Samples:
    """Samples at near + (k + shift) step < far, k = 0, 1, ..., but for those in empty cells of [-bound, bound]^3.

    shift is in [0, 1).
    """
    if on_triton(rays.near):
        return _march_triton(rays, shift, step, occupied, bound)
    if not compiled(rays.near):
        return march_torch(rays, shift, step, occupied, bound)
    longest = int((2 * bound) / step) + 2  # maximum samples per ray
    times = torch.empty(len(shift) * longest)  # pages that are not written take no memory
    counts = torch.zeros(len(shift), dtype=torch.long)
    arrays = [t.contiguous().numpy() for t in (rays.origins, rays.directions, rays.near, rays.far, shift)]
    total = kernels.march(*arrays, kernels.F(step), occupied.numpy(), float(bound), times.numpy(), counts.numpy())
    return Samples(times[:total].clone(), F.pad(counts.cumsum(0), (1, 0)))


def _march_triton(
    rays: Rays, shift: Float[Tensor, " R"], step: float, occupied: Bool[Tensor, "G G G"], bound: float
) -> Samples:
    """Rays are marched twice, to count their samples and to write them; in between the GPU is waited for once."""
    from gsd.field import march_triton

    count, cells = len(shift), len(occupied)
    counts = torch.empty(count + 1, dtype=torch.long, device=shift.device)
    arrays = [t.contiguous() for t in (rays.origins, rays.directions, rays.near, rays.far, shift, occupied)]
    numbers = (step, cells / (2 * bound), cells / 2, count, cells)
    launch(march_triton.march, count, *arrays, counts, counts, rays.near, counts, *numbers, WRITE=False)
    samples = _room(counts.cumsum(0), shift)
    launch(
        march_triton.march, count, *arrays, counts, samples.offsets, samples.times, samples.ray, *numbers, WRITE=True
    )
    return samples


def _room(offsets: Int[Tensor, " R1"], like: Tensor) -> Samples:
    """Samples that a kernel is to write, for whose number the GPU is waited for."""
    total = int(offsets[-1])
    return Samples(like.new_empty(total), offsets, offsets.new_empty(total))


def march_torch(
    rays: Rays, shift: Float[Tensor, " R"], step: float, occupied: Bool[Tensor, "G G G"], bound: float
) -> Samples:
    """The twin of the kernel: all samples of all rays, then those in occupied cells."""
    longest = int((2 * bound) / step) + 2
    times = rays.near[:, None] + (torch.arange(longest, device=shift.device) + shift[:, None]) * step
    points = rays.origins[:, None] + times[..., None] * rays.directions[:, None]
    keep = (times < rays.far[:, None]) & occupied[cell_of(points, len(occupied), bound).unbind(-1)]
    return Samples(times[keep], F.pad(keep.sum(1).cumsum(0), (1, 0)))


@torch.no_grad()
def points_of(rays: Rays, samples: Samples) -> Float[Tensor, "3 M"]:
    """World points of samples."""
    if on_triton(samples.times):
        from gsd.field import march_triton

        count, ray = len(samples.times), samples.rays()
        points = samples.times.new_empty(3, count)
        arrays = (rays.origins.contiguous(), rays.directions.contiguous(), ray, samples.times)
        launch(march_triton.place, count, *arrays, points, count)
        return points
    ray = samples.rays()
    origins, directions = (x.T.contiguous().index_select(1, ray) for x in (rays.origins, rays.directions))
    return torch.addcmul(origins, directions, samples.times)


@torch.no_grad()
def lit(samples: Samples, remaining: Float[Tensor, " M"], least: float) -> tuple[Samples, Int[Tensor, " K"]]:
    """The samples that more than `least` of the light reaches, the first ones of each ray, and their numbers.

    `remaining` is the light that reaches each sample, see composite.weigh: along a ray it never grows.
    """
    if on_triton(remaining):
        return _lit_triton(samples, remaining, least)
    seen = remaining > least
    chosen = seen.nonzero()[:, 0]
    before = F.pad(seen.cumsum(0), (1, 0))
    return Samples(samples.times[chosen], before[samples.offsets], samples.rays()[chosen]), chosen


def _lit_triton(samples: Samples, remaining: Tensor, least: float) -> tuple[Samples, Tensor]:
    from gsd.field import march_triton

    rays, counts = len(samples.offsets) - 1, torch.empty_like(samples.offsets)
    launch(march_triton.count_lit, rays, remaining, samples.offsets, counts, least, rays)
    kept = _room(counts.cumsum(0), samples.times)
    chosen = torch.empty_like(kept.rays())
    launch(
        march_triton.keep_lit, rays, samples.times, samples.offsets, kept.offsets, chosen, kept.times, kept.ray, rays
    )
    return kept, chosen


def cell_of(points: Float[Tensor, "*n 3"], cells: int, bound: float) -> Int[Tensor, "*n 3"]:
    """Indices (x, y, z) of the cell of [-bound, bound]^3 that holds a point; the nearest one for points outside."""
    return (points * (cells / (2 * bound)) + cells / 2).long().clamp(0, cells - 1)
