"""What made a result: the code's commit and the versions of what it stands on."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def versions() -> dict[str, str]:
    names = ("gsd", "torch", "numpy", "numba", "hydra-core", "gsplat", "diffusers")
    return {"python": sys.version.split()[0], **{n: importlib.metadata.version(n) for n in names}}


def commit() -> str | None:
    """Git commit of the code, with '+' when the working tree differs from it; None outside a checkout."""
    try:
        call = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
