"""What made a result: the code's commit and the versions of what it stands on."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from functools import cache
from pathlib import Path

import gsd

_ROOT = Path(gsd.__file__).parents[1]


def versions() -> dict[str, str]:
    names = ("torch", "numpy", "numba", "hydra-core", "gsplat", "diffusers")
    return {"python": sys.version.split()[0], "gsd": gsd.__version__} | {name: _version(name) for name in names}


@cache  # a sweep asks once per run, and each answer is a file that is parsed
def _version(name: str) -> str:
    return importlib.metadata.version(name)


def commit() -> str | None:
    """Git commit of the code, with '+' when the working tree differs from it; None outside a checkout."""
    if not (_ROOT / "pyproject.toml").exists():  # installed, perhaps in an environment inside another repository
        return None
    try:
        call = ["git", "-C", str(_ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
