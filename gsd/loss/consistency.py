"""The correspondence-aware gradient consistency loss (section 4.4 of the paper)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import PositiveFloat
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import NEAR, Sampler, co_visible, correspond, relative_projection, resize_depth, sample
from gsd.loss import kernels
from gsd.schedule import Schedule
from gsd.types import Cameras, StepState

VANISHING = 1e-24  # |a|^2 |b|^2 of two maps at a pixel below which they have no direction to compare


class Consistency:
    """L_sim = sum over ordered pairs (i, j) of a group and pixels p of o (1 - cos(g_i(p), g_j(p_ij))), over V (eq. 13).

    p_ij is the pixel of view j that sees the surface point of pixel p, through the rendered depth of view i. Gradient
    flows to that depth alone: the maps, the mask o and the cameras are detached.

    warp: straight_through (nearest forward, bilinear derivative; the paper's nearest sampler has none), bilinear, or
    nearest (the paper as printed: no gradient at all). input: residual (eps_hat - n), score (-eps_hat / sigma, eq. 9)
    or cfg_delta (eps_text - eps_uncond). Eq. 9 contains the noise itself, which is attached to the current geometry
    and anchors it where it is; hence the default. tolerance: world units, about 3 pixel footprints.
    """

    def __init__(
        self,
        weight: Schedule = 0.02,
        warp: Sampler = "straight_through",
        input: Literal["residual", "score", "cfg_delta"] = "residual",
        tolerance: PositiveFloat = 0.07,
    ) -> None:
        self.weight, self.warp, self.input, self.tolerance = weight, warp, input, tolerance

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        maps = self._maps(state)
        size = (maps.shape[-2], maps.shape[-1])
        depth, alpha = resize_depth(state.render.depth, state.render.alpha.detach(), size)
        cameras = state.cameras.resized(size[1], size[0])
        compare = _Compiled.apply if maps.device.type == "cpu" and maps.dtype == torch.float32 else compare_torch
        return compare(maps, depth, alpha, cameras, self.warp, self.tolerance) / len(cameras)

    def _maps(self, state: StepState) -> Float[Tensor, "V C h w"]:
        score = state.score
        if self.input == "residual":
            return score.eps - state.noise
        if self.input == "score":
            return -score.eps / state.sigma[:, None, None, None]
        if score.cfg_delta is None:
            raise GsdError(
                "loss.consistency.input=cfg_delta needs classifier-free guidance: set guidance.guidance_scale above 1."
            )
        return score.cfg_delta


def compare_torch(
    maps: Float[Tensor, "V C h w"],
    depth: Float[Tensor, "V 1 h w"],
    alpha: Float[Tensor, "V 1 h w"],
    cameras: Cameras,
    warp: Sampler,
    tolerance: float,
) -> Float[Tensor, ""]:
    """Sum of o (1 - cos) over the pixels of every ordered pair of views of a group; differentiable in depth."""
    i, j = ordered_pairs(cameras.group)
    coords, z = correspond(depth[i], cameras[i], cameras[j])
    mask = co_visible(coords, z, alpha[i], depth[j], alpha[j], tolerance)
    return (mask * (1 - cosine(maps[i], sample(maps[j], coords, warp)))).sum()


class _Compiled(torch.autograd.Function):
    """compare_torch by the numba kernel, a dozen times as fast on the CPU: value and derivative in one pass."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, depth: Tensor, alpha: Tensor, cameras: Cameras, warp: Sampler, tolerance: float
    ) -> Tensor:
        i, j = ordered_pairs(cameras.group)
        rays, shifts = relative_projection(cameras[i], cameras[j])
        height, width = maps.shape[-2:]
        total, grad = torch.zeros(()), torch.zeros(len(maps), height * width)
        total.fill_(
            kernels.compare(
                maps.flatten(2).numpy(),
                depth.detach().flatten(1).numpy(),
                alpha.flatten(1).numpy(),
                i.numpy(),
                j.numpy(),
                rays.contiguous().numpy(),
                shifts.contiguous().numpy(),
                width,
                height,
                np.float32(NEAR),
                np.float32(tolerance),
                np.float32(VANISHING),
                warp == "bilinear",
                grad.numpy(),
            )
        )
        ctx.grad = grad.view_as(depth)
        if warp == "nearest":
            ctx.mark_non_differentiable(total)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        return None, ctx.grad * scale, None, None, None, None


def cosine(a: Float[Tensor, "P C h w"], b: Float[Tensor, "P C h w"]) -> Float[Tensor, "P h w"]:
    """Over channels; 0 with derivative 0 where either vanishes."""
    product = (a * a).sum(1) * (b * b).sum(1)
    defined = product > VANISHING
    return torch.where(defined, (a * b).sum(1) * torch.where(defined, product, 1.0).rsqrt(), 0.0)


def ordered_pairs(group: Int[Tensor, " V"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """All (i, j), i != j, of views in the same group."""
    same = group[:, None] == group[None]
    same.fill_diagonal_(False)
    i, j = same.nonzero(as_tuple=True)
    return i, j
