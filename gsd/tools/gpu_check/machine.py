"""The card, its driver, and the versions of what the check stands on."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterator

import torch

from gsd import __version__
from gsd.backend import triton
from gsd.memory import GB
from gsd.results.provenance import commit
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.result import Row

PACKAGES = ("torch", "triton", "gsplat", "diffusers", "transformers", "peft", "numba", "numpy", "hydra-core")


def rows(bench: Bench) -> Iterator[Row]:
    card = torch.cuda.get_device_properties(bench.device)
    bench.results.about |= {"card": card.name}
    yield Row("card", {"value": card.name, "GB": card.total_memory / GB})
    yield Row("driver", {"value": _driver()})
    yield Row("CUDA of PyTorch", {"value": torch.version.cuda or "none"})
    yield Row("nvcc", {"value": shutil.which("nvcc") or "none: gsplat cannot be built here"})
    yield Row("Triton's kernels", {"value": triton.why_not() or "can be used"})
    yield Row("CPU cores", {"value": os.cpu_count()})
    yield Row("commit", {"value": commit() or "not a checkout"})
    yield Row("gsd", {"value": __version__})
    for name in PACKAGES:
        yield Row(name, {"value": _version(name)})


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _driver() -> str:
    """As nvidia-smi names it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()[0]
    except (OSError, IndexError, subprocess.SubprocessError):
        return "unknown: nvidia-smi does not answer"
