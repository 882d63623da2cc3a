"""Which tensors go to the Triton kernels, and how these are launched. Triton comes with PyTorch's CUDA build."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from gsd.backend.notice import notice
from gsd.errors import reason

BLOCK = 256  # elements per program


def on_triton(x: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether the Triton kernels take x: on CUDA, of the dtype or integer, where Triton can be used."""
    return x.is_cuda and (x.dtype == dtype or not x.is_floating_point()) and usable()


@cache
def usable() -> bool:
    """Whether Triton's kernels can run on this machine's GPUs; says once why not."""
    if why := why_not():
        notice(f"Triton's kernels cannot be used ({why}); tensor operations take their place, which are slower.")
    return not why


@cache
def why_not() -> str:
    """Why Triton's kernels cannot run, or '' if they can.

    Where Triton is first asked for its driver, a C compiler makes it, with Python's headers: images of a runtime
    without them bring Triton, too.
    """
    if find_spec("triton") is None:
        return "PyTorch's CUDA build brings Triton, and it is not installed"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return ""
    try:
        import_module("triton.runtime").driver.active  # noqa: B018  # made here
    except Exception as error:  # of Triton, the C compiler or the driver of the GPU
        return f"{reason(error)}; it needs gcc or clang, and Python's headers, such as from apt install gcc python3-dev"
    return ""


def launch(kernel: Any, count: int, *arguments: Any, width: int = 1, **constants: Any) -> None:
    """Run a kernel over `count` rows of `width` elements each (a power of 2), B rows per program.

    At least one program runs, since a grid cannot be empty: kernels leave rows beyond their count alone.
    """
    rows = max(1, BLOCK // width)
    start(kernel, max(1, -(-count // rows)), *arguments, B=rows, **constants)


def start(kernel: Any, programs: int, *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the GPU that holds its tensors.

    Triton takes the current one, which with device=cuda:1 is another, where those addresses hold nothing.
    """
    with torch.cuda.device(next(x.device for x in arguments if isinstance(x, Tensor))):
        kernel[(programs,)](*arguments, **constants)
