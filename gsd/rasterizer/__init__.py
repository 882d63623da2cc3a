"""Differentiable 3D Gaussian splatting on CPU and GPU behind one function, with gsplat's conventions."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd import jit
from gsd.errors import GsdError, did_you_mean

BACKENDS = ("auto", "cpu", "torch", "gsplat")


def rasterize(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    colors: Float[Tensor, "N 3"] | Float[Tensor, "C N 3"],
    viewmats: Float[Tensor, "C 4 4"],
    Ks: Float[Tensor, "C 3 3"],
    width: int,
    height: int,
    *,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    eps2d: float = 0.3,
    background: Float[Tensor, "3"] | Float[Tensor, "C 3"] | None = None,
    absgrad: bool = False,
    backend: str = "auto",
    threads: int | None = None,
) -> tuple[Float[Tensor, "C H W 4"], Float[Tensor, "C H W 1"], dict[str, Any]]:
    C, N = viewmats.shape[0], means.shape[0]
    if backend not in BACKENDS:
        raise GsdError(f"unknown rasteriser backend {backend!r}; choose one of {', '.join(BACKENDS)}" + did_you_mean(backend, BACKENDS))
    if backend == "auto":
        backend = "gsplat" if means.is_cuda else ("cpu" if jit.available() else "torch")
    if backend == "gsplat" and not (means.is_cuda and torch.cuda.is_available()):
        raise GsdError("backend='gsplat' needs CUDA tensors and a CUDA build of torch; use backend='cpu' here")
    if background is None:
        background = means.new_zeros(C, 3)
    elif background.ndim == 1:
        background = background.expand(C, 3)
    means2d = means.new_zeros(C, N, 2, requires_grad=torch.is_grad_enabled())
    if backend == "torch":
        from gsd.rasterizer.torch_twin import rasterize_torch

        out = rasterize_torch(means, quats, scales, opacities, colors, means2d, viewmats, Ks, background, width, height, near_plane, far_plane, eps2d)
    else:
        from gsd.rasterizer.cpu import Rasterize, default_threads

        options = (width, height, near_plane, far_plane, eps2d, absgrad, threads or default_threads())
        out = Rasterize.apply(means, quats, scales, opacities, colors, means2d, viewmats, Ks, background, options)
    render, alpha, radii, depths = out
    info = {"means2d": means2d, "radii": radii, "depths": depths, "width": width, "height": height, "n_cameras": C}
    return render, alpha, info
