"""Where tensors live, and which of them the compiled kernels of the CPU take."""

from __future__ import annotations

import torch
from torch import Tensor

from gsd.errors import GsdError


def pick_device(name: str) -> torch.device:
    """The device that `device=NAME` asks for; "auto" is CUDA where this PyTorch has it, else the CPU.

    Raises GsdError for an unknown name and for CUDA that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise GsdError(f"device={name} is not a device; use auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise GsdError(f"device={name}: this PyTorch sees no CUDA device; use device=cpu, or install its CUDA build.")
    return device


def compiled(x: Tensor) -> bool:
    """Whether the numba kernels take x: on the CPU, float32 or whole numbers; the rest goes to their torch twins."""
    return x.device.type == "cpu" and (x.dtype == torch.float32 or not x.is_floating_point())
