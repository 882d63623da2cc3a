"""The compiled CPU backend: one autograd function around the kernels, one task per view.

Views never share a sum in the kernels, and what is summed over views or chunks of Gaussians is summed in a fixed order,
so that the result is the same bit for bit whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gsd.backend.threads import each
from gsd.rasterizer import render_kernels as kernels
from gsd.rasterizer.layout import GRADIENT, ROW, TABLE
from gsd.rasterizer.projection import project_backward

CHUNK = 2560  # Gaussians whose gradients are chained to their parameters by one task


@dataclass(frozen=True)
class Options:
    """What a call of the rasteriser fixes beside its tensors."""

    width: int
    height: int
    near: float
    far: float
    eps2d: float
    threads: int


def _array(tensor: Tensor, dtype: torch.dtype = torch.float32) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.dtype != dtype or not tensor.is_contiguous():
        tensor = tensor.to(dtype).contiguous()
    return tensor.numpy()


class Rasterize(torch.autograd.Function):
    """The arguments and results of `rasterize`, checked; means2d is a zero leaf [C, N, 2], background [C, 3]."""

    @staticmethod
    def forward(ctx, means, quats, scales, opacities, colors, means2d, viewmats, Ks, background, options):
        width, height = options.width, options.height
        C, N = viewmats.shape[0], means.shape[0]
        parameters = [_array(t) for t in (means, quats, scales, opacities)]
        cutoffs = _array((opacities.detach() * 255).log())
        features = _array(colors if colors.ndim == 3 else colors[None])
        cameras = [_array(viewmats, torch.float64), _array(Ks, torch.float64)]
        ground = _array(background)
        # torch aligns memory to cache lines, numpy does not
        rows, depths = torch.empty(C, N, ROW).numpy(), torch.empty(C, N)
        radii = torch.empty(C, N, 2, dtype=torch.int32)
        render, alpha = torch.empty(C, height, width, 4), torch.empty(C, height, width, 1)
        rest = torch.empty(C, height, width, 2)
        outputs = [t.numpy() for t in (depths, radii, render, alpha, rest)]
        lists: list[Any] = [None] * C

        def view(c: int) -> None:
            lists[c] = kernels.forward_view(
                c, *parameters, cutoffs, features, *cameras, width, height, options.eps2d, options.near, options.far,
                ground, TABLE, rows, *outputs,
            )  # fmt: skip

        each(view, C, options.threads)
        ctx.mark_non_differentiable(radii, depths)
        # For the check that nothing was changed in place before backward; the kernels use the arrays.
        ctx.save_for_backward(means, quats, scales, opacities, viewmats, means2d, render, alpha, rest)
        ctx.kept = (parameters[:3], cameras, ground, rows, lists, depths.numpy(), colors.ndim, options)
        return render, alpha, radii, depths

    @staticmethod
    @once_differentiable
    def backward(ctx, g_render, g_alpha, *_):
        *_, render, alpha, rest = ctx.saved_tensors
        parameters, cameras, ground, rows, lists, depths, color_dims, options = ctx.kept
        C, N = depths.shape
        images = [_array(t) for t in (render, alpha, rest)]
        incoming = [_array(g_render), _array(g_alpha)]
        view_gradients = torch.empty(C, N, GRADIENT)
        grads = view_gradients.numpy()

        def view(c: int) -> None:
            kernels.backward_view(c, rows, *lists[c], *images, ground, TABLE, *incoming, grads)

        each(view, C, options.threads)
        shared = [torch.empty(N, 3), torch.empty(N, 4), torch.empty(N, 3), torch.empty(N), torch.empty(N, 3)]
        g_means2d = torch.empty(C, N, 2)
        chunks = -(-N // CHUNK)
        g_viewmats = np.zeros((chunks, C, 16)) if ctx.needs_input_grad[6] else None
        outputs = [t.numpy() for t in (*shared, g_means2d)]

        def chain(i: int) -> None:
            project_backward(
                *parameters, *cameras, options.width, options.height, options.eps2d, depths, grads, *outputs,
                None if g_viewmats is None else g_viewmats[i], i * CHUNK, min((i + 1) * CHUNK, N),
            )  # fmt: skip

        each(chain, chunks, options.threads)
        g_colors = view_gradients[..., 6:9] if color_dims == 3 else shared[4]
        g_cameras = None if g_viewmats is None else torch.from_numpy(g_viewmats.sum(0)).float().reshape(C, 4, 4)
        g_background = (rest[..., :1] * g_render[..., :3]).sum((1, 2)) if ctx.needs_input_grad[8] else None
        return *shared[:4], g_colors, g_means2d, g_cameras, None, g_background, None
