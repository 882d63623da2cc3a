"""NVIDIA GPUs as the operating system sees them, without importing PyTorch, which takes seconds."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import which

from gsd.errors import GsdError

CPU_BUILD = "this PyTorch is a build for CPUs; install its CUDA build"


def refuse_unused_gpu(why: str) -> None:
    """Raise GsdError where there is a GPU and PyTorch cannot use it: a run on the CPU would not be what was meant."""
    if gpu_is_there():
        raise GsdError(f"There is an NVIDIA GPU here, and it cannot be used: {why}; mend that, or set device=cpu.")


def gpu_is_there(root: Path = Path("/")) -> bool:
    """Whether this process may open a GPU that CUDA_VISIBLE_DEVICES does not hide.

    A container or a job without a GPU sees the driver's files of the machine, but may not open the device.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if nodes := list((root / "dev").glob("nvidia[0-9]*")):
        return any(os.access(node, os.R_OK | os.W_OK) for node in nodes)
    known = (root / "dev/dxg", root / "proc/driver/nvidia/version")  # of WSL; of a driver that no program has used yet
    return which("nvidia-smi") is not None and any(file.exists() for file in known)


def driver_version(root: Path = Path("/")) -> str | None:
    """Of the loaded driver, such as 570.86.15; None where Linux does not tell it."""
    file = root / "sys/module/nvidia/version"
    return file.read_text().strip() if file.is_file() else None
