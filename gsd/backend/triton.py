"""Which tensors go to the Triton kernels, and how these are launched. Triton comes with PyTorch's CUDA build."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

BLOCK = 256  # elements per program


def on_triton(x: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether the Triton kernels take x: on CUDA, of the dtype or integer, where Triton is installed."""
    return x.is_cuda and (x.dtype == dtype or not x.is_floating_point()) and installed()


@cache
def installed() -> bool:
    return find_spec("triton") is not None


def launch(kernel: Any, count: int, *arguments: Any, width: int = 1, **constants: Any) -> None:
    """Run a kernel over `count` rows of `width` elements each (a power of 2), B rows per program.

    At least one program runs, since a grid cannot be empty: kernels leave rows beyond their count alone.
    """
    rows = max(1, BLOCK // width)
    kernel[(max(1, -(-count // rows)),)](*arguments, B=rows, **constants)
