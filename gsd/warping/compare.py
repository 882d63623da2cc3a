"""Cosines between the maps of neighbouring views, warped by the rendered depth (eq. 11 to 13 of the paper)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.backend.triton import launch
from gsd.geometry import (
    NEAR,
    Sampler,
    co_visible,
    correspond,
    pixel_centres,
    relative_projection,
    sample,
)
from gsd.types import Cameras, Geometry, StepState
from gsd.warping import compare_kernel as kernels

VANISHING = 1e-24  # |a|^2 |b|^2 of two maps at a pixel below which they have no direction to compare


def compare_torch(
    maps: Float[Tensor, "V C h w"],
    depth: Float[Tensor, "V 1 H W"],
    alpha: Float[Tensor, "V 1 H W"],
    cameras: Cameras,
    pairs: tuple[Int[Tensor, " P"], Int[Tensor, " P"]],
    warp: Sampler,
    tolerance: float,
) -> Float[Tensor, ""]:
    """Sum of o (1 - cos) over pairs of views and pixels of the depth; differentiable in depth. Cameras are H x W."""
    similarity, mask = _compared(maps, depth, alpha, cameras, pairs, warp, tolerance)
    return (mask * (1 - similarity)).sum()


def _compared(
    maps: Float[Tensor, "V C h w"],
    depth: Float[Tensor, "V 1 H W"],
    alpha: Float[Tensor, "V 1 H W"],
    cameras: Cameras,
    pairs: tuple[Int[Tensor, " P"], Int[Tensor, " P"]],
    warp: Sampler,
    tolerance: float,
) -> tuple[Float[Tensor, "P H W"], Bool[Tensor, "P H W"]]:
    """cos(g_i(p), g_j(p_ij)) and the mask o of eq. 13."""
    i, j = pairs
    (height, width), (rows, cols) = depth.shape[-2:], maps.shape[-2:]
    coords, z = correspond(depth[i], cameras[i], cameras[j])
    mask = co_visible(coords, z, alpha[i], depth[j], alpha[j], tolerance)
    scale = depth.new_tensor([cols / width, rows / height])
    here = (pixel_centres(height, width, depth.dtype, depth.device) * scale).expand(len(maps), -1, -1, -1)
    mine, theirs = sample(maps, here, warp)[i], sample(maps[j], coords * scale, warp)
    return cosine(mine, theirs), mask


@torch.no_grad()
def gradient_cosine(state: StepState, tolerance: float = 0.07) -> float | None:
    """How well the gradients of a step agree between views: the mean of cos(g_i(p), g_j(p_ij)) over co-visible pixels.

    Args:
        state: a step; its applied gradients (`Score.gradient`) are compared over all pairs of views of a group and
            pixels of the latents, warped bilinearly by the rendered depth.
        tolerance: world units of depth within which two views see the same surface.

    Returns:
        The cosine in [-1, 1], or None if no two views of a group share a pixel.
    """
    maps, seen = state.score.gradient, state.geometry
    pairs = ordered_pairs(seen.cameras)
    similarity, mask = _compared(maps, seen.depth, seen.alpha, seen.cameras, pairs, "bilinear", tolerance)
    return float(similarity[mask].mean()) if mask.any() else None


@torch.no_grad()
def noise_correlation(noise: Float[Tensor, "V C h w"], seen: Geometry, tolerance: float = 0.07) -> float | None:
    """How much noise the views of a group share: the mean of n_i(p) n_j(q), q the pixel of view j that contains p_ij.

    Args:
        noise: maps of variance 1.
        seen: what they are of.
        tolerance: world units of depth within which two views see the same surface.

    Returns:
        The correlation over all pairs, co-visible pixels and channels, or None if no two views of a group share a
        pixel. Maps that are N(0, I) reach at most about 0.9 at 5 degrees, and 0.65 where pixels count points.
    """
    i, j = ordered_pairs(seen.cameras)
    if not len(i):
        return None
    coords, z = correspond(seen.depth[i], seen.cameras[i], seen.cameras[j])
    both = co_visible(coords, z, seen.alpha[i], seen.depth[j], seen.alpha[j], tolerance)
    products = (noise[i] * sample(noise[j], coords, "nearest")).mean(1)
    return float(products[both].mean()) if both.any() else None


class Compared(torch.autograd.Function):
    """compare_torch by a kernel, value and derivative in one pass: numba's on the CPU, five to fifteen times as fast,
    or Triton's on CUDA, one launch instead of a hundred.
    """

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        depth: Tensor,
        alpha: Tensor,
        cameras: Cameras,
        pairs: tuple[Tensor, Tensor],
        warp: Sampler,
        tolerance: float,
    ) -> Tensor:
        i, j = pairs
        framed = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
        depths, alphas = depth.detach()[:, 0].contiguous(), alpha[:, 0].contiguous()
        rays, shifts = relative_projection(cameras.on_cpu[i], cameras.on_cpu[j])
        by_kernel = _by_triton if maps.is_cuda else _by_numba
        total, slopes = by_kernel(framed, depths, alphas, pairs, rays, shifts, warp == "bilinear", tolerance)
        ctx.grad = slopes.view_as(depth)
        if warp == "nearest":
            ctx.mark_non_differentiable(total)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        return None, ctx.grad * scale, None, None, None, None, None


def _by_numba(
    framed: Float[Tensor, "V h w C"],
    depth: Float[Tensor, "V H W"],
    alpha: Float[Tensor, "V H W"],
    pairs: tuple[Int[Tensor, " P"], Int[Tensor, " P"]],
    rays: Float[Tensor, "P 3 3"],
    shifts: Float[Tensor, "P 3"],
    bilinear: bool,
    tolerance: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, "V H W"]]:
    """The sum and its derivative by the depth; arguments as of compare_kernel.compare."""
    grad = torch.zeros(depth.shape)
    arrays = [t.contiguous().numpy() for t in (framed, depth, alpha, *pairs, rays, shifts)]
    numbers = map(np.float32, (NEAR, tolerance, VANISHING))
    total = kernels.compare(*arrays, *numbers, bilinear, grad.numpy())
    return torch.tensor(total, dtype=torch.float32), grad


def _by_triton(
    framed: Float[Tensor, "V h w C"],
    depth: Float[Tensor, "V H W"],
    alpha: Float[Tensor, "V H W"],
    pairs: tuple[Int[Tensor, " P"], Int[Tensor, " P"]],
    rays: Float[Tensor, "P 3 3"],
    shifts: Float[Tensor, "P 3"],
    bilinear: bool,
    tolerance: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, "V H W"]]:
    from gsd.warping import compare_triton

    (views, rows, columns, channels), (_, height, width) = framed.shape, depth.shape
    terms, slopes = depth.new_empty(2, len(rays), height * width)
    small = (t.to(depth.device) for t in (torch.stack(pairs), rays, shifts))
    launch(
        compare_triton.compare, terms.numel(), framed, depth, alpha, *small, terms, slopes, NEAR, tolerance, VANISHING,
        (columns - 2) / width, (rows - 2) / height, terms.numel(), width, height, columns, rows,
        C=channels, BILINEAR=bilinear,
    )  # fmt: skip
    owners = F.one_hot(pairs[0], views).T.to(slopes)  # sums over the pairs of a view in a fixed order
    return terms.sum(), (owners @ slopes).view_as(depth)


def cosine(a: Float[Tensor, "P C h w"], b: Float[Tensor, "P C h w"]) -> Float[Tensor, "P h w"]:
    """Cosine over channels; 0 with derivative 0 where either vector vanishes.

    A map that vanishes has no direction, and the plain formula's derivative there is as large as the number format
    allows.
    """
    product = (a * a).sum(1) * (b * b).sum(1)
    defined = product > VANISHING
    return torch.where(defined, (a * b).sum(1) * torch.where(defined, product, 1.0).rsqrt(), 0.0)


def ordered_pairs(cameras: Cameras) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """All (i, j), i != j, of views in the same group; on the CPU."""
    group = cameras.on_cpu.group
    i, j = (group[:, None] == group).fill_diagonal_(False).nonzero(as_tuple=True)
    return i, j
