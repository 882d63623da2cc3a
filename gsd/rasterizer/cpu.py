"""The compiled CPU backend: one autograd function around the kernels, one task per view."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsd.rasterizer import kernels

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # the threads of a pool do not survive a fork


def default_threads() -> int:
    """GSD_THREADS, else torch's number of threads, but never more than the process may use."""
    wanted = os.environ.get("GSD_THREADS")
    if wanted:
        return max(1, int(wanted))
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), usable))


def _each(task: Callable[[int], Any], count: int, threads: int) -> None:
    """task(0) ... task(count - 1), on a pool where that can help."""
    threads = min(threads, count)
    if threads <= 1:
        for i in range(count):
            task(i)
        return
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads, "gsd-rasterizer")
    list(_pools[threads].map(task, range(count)))


def _array(tensor: Tensor, dtype: torch.dtype = torch.float32) -> np.ndarray:
    return tensor.detach().to(dtype).contiguous().numpy()


class Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, quats, scales, opacities, colors, means2d, viewmats, Ks, background, options):
        width, height, near, far, eps2d, absgrad, threads = options
        C, N = viewmats.shape[0], means.shape[0]
        parameters = [_array(t) for t in (means, quats, scales, opacities)]
        features = _array(colors if colors.ndim == 3 else colors[None])
        cameras = [_array(t, torch.float64) for t in (viewmats, Ks)]
        ground = _array(background)
        rows = np.empty((C, N, kernels.ROW), np.float32)
        ids, counts = np.empty((C, N), np.int32), np.zeros(C, np.int64)
        radii, depths = np.empty((C, N, 2), np.int32), np.empty((C, N), np.float32)
        render, alpha = np.empty((C, height, width, 4), np.float32), np.empty((C, height, width, 1), np.float32)

        def view(c: int) -> None:
            kernels.forward_view(
                c, *parameters, features, *cameras, width, height, eps2d, near, far, ground,
                rows, depths, radii, ids, counts, render, alpha,
            )  # fmt: skip

        _each(view, C, threads)
        outputs = tuple(torch.from_numpy(a) for a in (render, alpha, radii, depths))
        ctx.mark_non_differentiable(outputs[2], outputs[3])
        ctx.save_for_backward(means, quats, scales, opacities, colors, means2d, background)
        ctx.kept = (parameters, features, cameras, ground, rows, ids, counts, radii, render, alpha, options)
        return outputs

    @staticmethod
    def backward(ctx, g_render, g_alpha, *_):
        means, quats, scales, opacities, colors, means2d, background = ctx.saved_tensors
        parameters, features, cameras, ground, rows, ids, counts, radii, render, alpha, options = ctx.kept
        width, height, _, _, eps2d, absgrad, threads = options
        C, N = radii.shape[:2]
        g_image, g_cover = _array(g_render), _array(g_alpha)
        grads = np.empty((C, N, 12), np.float32)

        def view(c: int) -> None:
            kernels.backward_view(
                c, rows, ids, counts, render, alpha, ground, g_image, g_cover, grads, absgrad,
            )  # fmt: skip

        _each(view, C, threads)
        out = [np.empty_like(p) for p in parameters]
        g_colors = np.zeros_like(features)
        g_means2d = np.zeros((C, N, 2), np.float32)
        g_absolute = np.zeros((C if absgrad else 0, N, 2), np.float32)
        kernels.project_backward(
            *parameters[:3], *cameras, width, height, eps2d, radii, rows, grads,
            *out, g_colors, g_means2d, g_absolute, 0, N,
        )  # fmt: skip
        if absgrad:
            means2d.absgrad = torch.from_numpy(g_absolute)
        g_background = None
        if ctx.needs_input_grad[8]:
            g_background = ((1 - torch.from_numpy(alpha)) * g_render[..., :3]).sum((1, 2))
        colour = torch.from_numpy(g_colors if colors.ndim == 3 else g_colors[0])
        g = [torch.from_numpy(a) for a in out]
        return *g, colour, torch.from_numpy(g_means2d), None, None, g_background, None
