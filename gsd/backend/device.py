"""The device of a run, and which tensors go to the compiled CPU kernels."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from gsd.errors import GsdError


def pick_device(name: str) -> torch.device:
    """The device for the setting `device=NAME`; "auto" is CUDA if available, else the CPU.

    Raises GsdError for an unknown name and for CUDA that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = re.fullmatch(r"(cpu|cuda)(?::(\d{1,4}))?", name)
    if match is None or name.startswith("cpu:"):
        raise GsdError(f"device={name} is not a device; use auto, cpu or cuda.")
    count = torch.cuda.device_count() if match[1] == "cuda" else 1
    if count == 0:
        raise GsdError(f"device={name}: this PyTorch sees no CUDA device; use device=cpu, or install its CUDA build.")
    if int(match[2] or 0) >= count:
        raise GsdError(f"device={name}: there are {count} CUDA devices; use cuda:0 to cuda:{count - 1}.")
    return torch.device(name)


def compiled(x: Tensor) -> bool:
    """Whether the numba kernels take x: on the CPU, float32 or integer. Other tensors go to the torch twins."""
    return x.device.type == "cpu" and (x.dtype == torch.float32 or not x.is_floating_point())
