"""Files that only save time: whole and unharmed, or made again."""

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
    """What `write` put there (the file holds its digest, then the bytes), None unless it is whole and unharmed."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    payload = content[DIGEST_BYTES:]
    return payload if content[:DIGEST_BYTES] == _checksum(payload) else None


def write(file: Path, payload: bytes) -> None:
    """Atomically, so that processes which write the same file at once never see half of it; failures are ignored."""
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
