"""gsplat's CUDA rasteriser (Ye et al. 2024, version 1.5) with the project's call and return values."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import cache
from importlib import import_module
from typing import Any

import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor

from gsd.backend import triton
from gsd.backend.cache import cache_folder
from gsd.backend.notice import notice
from gsd.errors import GsdError, reason


def auto() -> str:
    """The backend that "auto" takes for CUDA tensors; gsplat says what it lacks where there is no Triton either."""
    why = why_not()
    return _instead(why) if why and triton.usable() else "gsplat"


@cache
def _instead(why: str) -> str:
    notice(f"gsplat's CUDA kernels cannot be used ({why}); backend=triton takes their place.")
    return "triton"


def prepare(backend: str) -> None:
    """Find or compile what a backend needs on CUDA, which takes minutes on a machine's first run.

    Raises GsdError where it can be neither found nor compiled.
    """
    if backend == "triton" and not triton.usable():
        raise GsdError(f"backend=triton cannot be used ({triton.why_not()}), or choose device=cpu.")
    if (auto() if backend == "auto" else backend) == "gsplat" and (why := why_not()):
        raise GsdError(
            f"gsplat's CUDA kernels can be neither found nor compiled ({why}); install nvcc of CUDA "
            f"{torch.version.cuda}, which this PyTorch was built with, a C++ compiler and ninja (pip install -e "
            "'.[gpu]' in a checkout), or a wheel of gsplat 1.5 that holds them (https://docs.gsplat.studio/whl), or "
            "choose representation.backend=triton, which needs no nvcc, or device=cpu."
        )


@cache
def why_not() -> str:
    """Why gsplat's CUDA kernels cannot be used, or '' if they can. gsplat compiles them when they are first asked for.

    One process at a time does so: gsplat deletes a build that is not whole, such as that of another process at work.
    """
    try:
        with ExitStack() as held:
            with suppress(OSError):  # a cache folder that cannot be written
                cache_folder().mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(cache_folder() / "gsplat.lock"))
            kernels = import_module("gsplat.cuda._backend")._C
    except Exception as error:  # of gsplat, PyTorch's builder, the compiler or the loader of libraries
        return reason(error)
    return "no nvcc was found" if kernels is None else ""


def rasterize_gsplat(
    tensors: dict[str, Tensor],
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    eps2d: float,
    background: Float[Tensor, "C 3"],
) -> tuple[Float[Tensor, "C H W 4"], Float[Tensor, "C H W 1"], dict[str, Any]]:
    """See `gsd.rasterizer.rasterize`; `tensors` holds its first seven arguments, checked, on a CUDA device.

    Unlike on the CPU, info["means2d"] holds the image positions; its gradient is that of the last backward pass.
    """
    prepare("gsplat")
    from gsplat import rasterization

    renders, alphas, info = rasterization(
        **{name: tensor.float() for name, tensor in tensors.items()},
        width=width,
        height=height,
        near_plane=near_plane,
        far_plane=far_plane,
        eps2d=eps2d,
        packed=False,
        backgrounds=background.float(),
        render_mode="RGB+ED",
    )
    if torch.is_grad_enabled() and info["means2d"].requires_grad:
        positions = info["means2d"]
        info["means2d"] = leaf = positions.detach().requires_grad_()
        positions.register_hook(lambda gradient: setattr(leaf, "grad", gradient))
    names = ("means2d", "radii", "depths", "width", "height", "n_cameras")
    return renders, alphas, {name: info[name] for name in names}
