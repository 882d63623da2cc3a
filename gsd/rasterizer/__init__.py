"""Differentiable 3D Gaussian splatting on CPU and GPU behind one function, with gsplat's conventions.

The rules are those of gsplat 1.5.3's "classic" mode (Kerbl et al. 2023): the projected covariance is dilated by 0.3 px,
alpha is clamped at 0.999 and ignored below 1/255, and a pixel is finished before its transmittance would fall to 1e-4.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend import triton
from gsd.errors import GsdError, did_you_mean

BACKENDS = ("auto", "cpu", "torch", "gsplat", "triton")


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
    backend: str = "auto",
    threads: int | None = None,
) -> tuple[Float[Tensor, "C H W 4"], Float[Tensor, "C H W 1"], dict[str, Any]]:
    """Render N Gaussians to C pinhole views.

    Gradients reach means, quats, scales, opacities, colors, viewmats and background (Ks only with backend="torch").
    A Gaussian that is not finite, fainter than 1/255, outside the image or not between the planes is not drawn and gets
    zero gradients.

    Args:
        means: world units.
        quats: wxyz, of any length.
        scales: standard deviations in world units, not their logarithms.
        opacities: in [0, 1].
        colors: for all views or per view (`gsd.rasterizer.sh` makes them from spherical harmonics).
        viewmats: world to camera (OpenCV).
        Ks: intrinsics in pixels, with pixel centres at +0.5.
        width: pixels.
        height: pixels.
        near_plane: camera-space z below which a Gaussian is not drawn.
        far_plane: camera-space z above which a Gaussian is not drawn.
        eps2d: added to the variances of the projected covariance, square pixels.
        background: one colour or one per view; default black.
        backend: "cpu", compiled, float32 for any input; "torch", plain tensors in the given dtype on any device, slow;
            "gsplat", for CUDA, compiled by nvcc; "triton", for CUDA without nvcc, float32 for any input; "auto", gsplat
            for CUDA tensors or triton where gsplat cannot be compiled, else cpu.
        threads: at most so many for "cpu" (default: GSD_THREADS, else torch's, 1 for small scenes); the result does not
            depend on it.

    Returns:
        renders: rgb over the background, and expected depth (camera-space z averaged with the compositing weights, 0
            where alpha is 0).
        alphas: in [0, 1].
        info: `means2d` [C, N, 2], whose .grad after backward is the gradient of the image positions in pixels; `radii`
            [C, N, 2], int32 half sizes in pixels, 0 where a Gaussian is not drawn; `depths` [C, N]; width, height,
            n_cameras.

    Raises:
        GsdError: for a wrong shape or dtype, and for a backend that is unknown or cannot run here.
    """
    tensors = {
        "means": means, "quats": quats, "scales": scales, "opacities": opacities, "colors": colors,
        "viewmats": viewmats, "Ks": Ks,
    }  # fmt: skip
    _check(tensors, width, height, near_plane)
    C, N = viewmats.shape[0], means.shape[0]
    chosen = _choose(backend, means)
    if background is None:
        background = means.new_zeros(3)
    if tuple(background.shape) not in ((3,), (C, 3)):
        raise GsdError(f"background has shape {tuple(background.shape)}; it must be (3,) or (C, 3) = ({C}, 3).")
    background = background.expand(C, 3)
    if chosen == "gsplat":
        from gsd.rasterizer.gsplat_cuda import rasterize_gsplat

        return rasterize_gsplat(tensors, width, height, near_plane, far_plane, eps2d, background)
    track = torch.is_grad_enabled()
    if chosen == "torch":
        from gsd.rasterizer.torch_twin import rasterize_torch

        means2d = means.new_zeros(C, N, 2, requires_grad=track)
        out = rasterize_torch(
            means, quats, scales, opacities, colors, viewmats, Ks, means2d, background,
            int(width), int(height), near_plane, far_plane, eps2d,
        )  # fmt: skip
    else:
        from gsd.backend.threads import default_threads
        from gsd.rasterizer import cpu

        kernels: type[torch.autograd.Function] = cpu.Rasterize
        if chosen == "triton":
            from gsd.rasterizer import triton_cuda

            kernels = triton_cuda.Rasterize
        means2d = torch.zeros(C, N, 2, device=means.device).requires_grad_(track)
        planes = float(near_plane), float(far_plane)
        options = cpu.Options(int(width), int(height), *planes, float(eps2d), threads or default_threads(N))
        splats = [means, quats, scales, opacities, colors]
        single = [t if t.dtype == torch.float32 else t.float() for t in splats]
        out = kernels.apply(*single, means2d, viewmats, Ks, background, options)
    render, alpha, radii, depths = out
    info = {"means2d": means2d, "radii": radii, "depths": depths, "width": width, "height": height, "n_cameras": C}
    return render, alpha, info


def _check(tensors: dict[str, Tensor], width: int, height: int, near_plane: float) -> None:
    means, viewmats = tensors["means"], tensors["viewmats"]
    N = means.shape[0] if means.ndim else "N"
    C = viewmats.shape[0] if viewmats.ndim else "C"
    shapes: dict[str, list[tuple[Any, ...]]] = {
        "means": [(N, 3)], "quats": [(N, 4)], "scales": [(N, 3)], "opacities": [(N,)],
        "colors": [(N, 3), (C, N, 3)], "viewmats": [(C, 4, 4)], "Ks": [(C, 3, 3)],
    }  # fmt: skip
    for name, tensor in tensors.items():
        if tuple(tensor.shape) not in shapes[name]:
            wanted = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes[name])
            raise GsdError(f"{name} has shape {tuple(tensor.shape)}; it must be {wanted}.")
        if not tensor.is_floating_point():
            raise GsdError(f"{name} has dtype {tensor.dtype}; it must be a floating-point tensor.")
        if tensor.device != means.device:
            raise GsdError(f"{name} is on {tensor.device} but means is on {means.device}; move both to one device.")
    if min(width, height) < 1 or max(width, height) > 1 << 16:
        raise GsdError(f"The image is {width} x {height}; width and height must be from 1 to 65536.")
    if not near_plane > 0:
        raise GsdError(f"near_plane is {near_plane}; it must be above 0.")


def _choose(backend: str, means: Tensor) -> str:
    if backend not in BACKENDS:
        choices = ", ".join(BACKENDS)
        raise GsdError(f"There is no rasteriser backend {backend!r}; choose {choices}{did_you_mean(backend, BACKENDS)}")
    if backend == "auto":
        from gsd.rasterizer.gsplat_cuda import auto

        return auto() if means.is_cuda else "cpu"
    if backend == "cpu" and means.is_cuda:
        raise GsdError("backend='cpu' got CUDA tensors; move them to the CPU or take backend='auto'.")
    if backend in ("gsplat", "triton") and not means.is_cuda:
        raise GsdError(f"backend={backend!r} needs CUDA tensors; move the scene to a GPU or take backend='cpu'.")
    if backend == "triton" and not triton.usable():
        raise GsdError(f"backend='triton' cannot be used ({triton.why_not()}).")
    return backend
