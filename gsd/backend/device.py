"""The device of a run, and which tensors go to the compiled CPU kernels."""

from __future__ import annotations

import os
import re
import resource

import torch
from torch import Tensor

from gsd.backend.driver import CPU_BUILD, driver_version, refuse_unused_gpu
from gsd.errors import GsdError, reason

GIB = 2**30


def pick_device(name: str) -> torch.device:
    """The device for the setting `device=NAME`; "auto" is CUDA if available, else the CPU.

    Raises GsdError for an unknown name, for CUDA that is not there, and for "auto" where there is a GPU that PyTorch
    cannot use.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        refuse_unused_gpu(_no_cuda())
        return torch.device("cpu")
    match = re.fullmatch(r"(cpu|cuda)(?::(\d{1,4}))?", name)
    if match is None or name.startswith("cpu:"):
        raise GsdError(f"device={name} is not a device; use auto, cpu or cuda.")
    count = torch.cuda.device_count() if match[1] == "cuda" else 1
    if count == 0:
        raise GsdError(f"device={name}: {_no_cuda()}, or use device=cpu.")
    if int(match[2] or 0) >= count:
        raise GsdError(f"device={name} is not here; use {', '.join(f'cuda:{k}' for k in range(count))}.")
    return torch.device(name)


def _no_cuda() -> str:
    """Why PyTorch sees no GPU, and what to do."""
    if torch.version.cuda is None:
        return CPU_BUILD
    try:
        torch.cuda.init()
    except Exception as error:  # a RuntimeError, or what the driver makes of it
        return f"{reason(error)} (PyTorch is built for CUDA {torch.version.cuda})"
    return "this PyTorch sees no CUDA device; check the driver with nvidia-smi"


def visible_gpus() -> list[str]:
    """The GPUs that PyTorch sees here, as CUDA_VISIBLE_DEVICES calls them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(k) for k in range(count)]


def described(device: torch.device) -> dict[str, str]:
    """What computes: the kind of device and, of a GPU, its name, memory, driver and CUDA."""
    if device.type != "cuda":
        return {"device": device.type}
    gpu = torch.cuda.get_device_properties(device)
    return {
        "device": device.type,
        "gpu": gpu.name,
        "gpu_memory": f"{gpu.total_memory / GIB:.0f} GiB",
        "driver": driver_version() or "unknown",
        "cuda": torch.version.cuda or "unknown",
    }


def forget_peak(device: torch.device) -> None:
    """Start measuring `peak_memory` anew, where that is possible."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that tensors on the GPU have taken; on a CPU, the most that this process has."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compiled(x: Tensor) -> bool:
    """Whether the numba kernels take x: on the CPU, float32 or integer. Other tensors go to the torch twins."""
    return x.device.type == "cpu" and (x.dtype == torch.float32 or not x.is_floating_point())
