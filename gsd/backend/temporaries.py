"""Names of files that are being written, .PID.NAME, and what killed writers leave of them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NAME = re.compile(r"\.(\d+)\.(.+)")
BEGAN = time.time()  # of this process: in a container, the one before it had the same number


def temporary(final: Path) -> Path:
    """Where this process writes what will be `final`; readers tell the kind of a file by its ending, which stays."""
    return final.with_name(f".{os.getpid()}.{final.name}")


def sweep(folder: Path, endings: Iterable[str]) -> None:
    """Remove what killed processes were writing in a folder, files with one of these endings.

    A process of another machine counts as killed: call this where none writes such files, or may well fail to.
    """
    wanted = tuple(endings)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = NAME.fullmatch(entry.name)
            if not match or not match[2].endswith(wanted) or not entry.is_file(follow_symlinks=False):
                continue
            if not _lives(int(match[1]), entry.stat().st_mtime):
                with suppress(OSError):
                    os.unlink(entry.path)


def _lives(pid: int, wrote: float) -> bool:
    """Whether the process that last wrote a file then may still be at it."""
    if pid == os.getpid():
        return wrote >= BEGAN
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
