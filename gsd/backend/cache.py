"""Cache files with checksums: a damaged one counts as missing, and one that cannot be written is done without."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path

import platformdirs

from gsd.backend.temporaries import sweep

DIGEST_BYTES = 32
_told: set[Path] = set()  # folders that the user knows cannot be written


def cache_folder() -> Path:
    """$GSD_CACHE, else the user's cache folder."""
    return Path(os.environ.get("GSD_CACHE") or platformdirs.user_cache_dir("gsd", appauthor=False))


def read(file: Path) -> bytes | None:
    """The bytes that `write` stored, or None if the file is missing or damaged (it starts with their checksum)."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    payload = content[DIGEST_BYTES:]
    return payload if content[:DIGEST_BYTES] == _checksum(payload) else None


def write(file: Path, payload: bytes) -> None:
    """Write atomically, so that no process ever reads half a file; where that fails, say so once per folder.

    What killed processes have left of this file is removed; if one of them still writes elsewhere, it does without.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sweep(file.parent, [f".{file.name}"])
        # Beside the process's number a random part, since several threads may write the same file
        handle, name = tempfile.mkstemp(prefix=f".{os.getpid()}.", suffix=f".{file.name}", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(_checksum(payload) + payload)
            os.replace(name, file)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        complain(file.parent, error)


def complain(folder: Path, error: OSError) -> None:
    """Say that a cache folder cannot be written and that its content is made again each time."""
    if folder not in _told:
        _told.add(folder)
        logging.getLogger("gsd").warning(
            "gsd: the cache folder %s cannot be written (%s); what belongs there is kept in memory, and made again by "
            "the next run. GSD_CACHE names another folder.",
            folder,
            error.strerror,
        )


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest()
