"""Cache files with checksums: a damaged one counts as missing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

DIGEST_BYTES = 32


def cache_folder() -> Path:
    """$GSD_CACHE, else the user's cache folder."""
    return Path(os.environ.get("GSD_CACHE") or platformdirs.user_cache_dir("gsd"))


def read(file: Path) -> bytes | None:
    """The bytes that `write` stored, or None if the file is missing or damaged (it starts with their checksum)."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    payload = content[DIGEST_BYTES:]
    return payload if content[:DIGEST_BYTES] == _checksum(payload) else None


def write(file: Path, payload: bytes) -> None:
    """Write atomically, so that no process ever reads half a file; failures are ignored."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(_checksum(payload) + payload)
            os.replace(name, file)
        except OSError:
            os.unlink(name)
            raise


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest()
