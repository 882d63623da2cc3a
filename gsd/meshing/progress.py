"""How far an export is: one bar per stage on a terminal, which goes when the stage is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def tracked(items: Sequence[T], stage: str) -> Iterable[T]:
    console = Console(stderr=True)
    return track(items, stage, console=console, transient=True, disable=not console.is_terminal)
