"""device=NAME among the words that a program of gsd was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gsd.errors import GsdError

if TYPE_CHECKING:
    import torch

KEY = "device="
HELP = "device=NAME: auto (the default), cpu or cuda"


def parted(words: Sequence[str], default: str = "auto") -> tuple[torch.device, list[str]]:
    """The device that the last device=NAME chooses, and the other words. Raises GsdError where there is no such one."""
    from gsd.backend.device import pick_device

    names = [word.removeprefix(KEY) for word in words if word.startswith(KEY)]
    return pick_device((names or [default])[-1]), [word for word in words if not word.startswith(KEY)]


def alone(words: Sequence[str]) -> torch.device:
    """The device, where nothing else may be said."""
    device, others = parted(words)
    if others:
        raise GsdError(f"{others[0]}: one folder is taken, and device=NAME; leave this out.")
    return device
