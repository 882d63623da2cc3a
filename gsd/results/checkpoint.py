"""checkpoint.pt, and what must be beside it: its digest, and the lines that had been written when it was made.

A checkpoint is on the disk before it takes the old one's place, and so are those lines. checkpoint.digest has two
digests, that of the new checkpoint and of the one it replaces, since a kill may come between the two files.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from gsd.backend.regular import regular
from gsd.errors import GsdError

LINES = ("metrics.jsonl", "histograms.jsonl", "evaluations.jsonl")
WRITTEN = "written"  # of a checkpoint: name -> bytes and digest of the lines that belong to it
TRIES = 3  # to read both files as one writer left them
ANEW = "put a copy back, or delete checkpoint.pt to start this run anew"


class Checkpoint:
    """The files in a run folder. replacing: a temporary path that takes the place of a name, see `RunFolder`."""

    def __init__(self, folder: Path, replacing: Callable[[str], AbstractContextManager[Path]]) -> None:
        self.folder, self.replacing = folder, replacing
        self.file = folder / "checkpoint.pt"

    def save(self, state: dict[str, Any]) -> None:
        import torch

        written = {name: _sealed(self.folder / name) for name in LINES}
        before = [_digest(self.file.read_bytes())] if self.file.exists() else []
        with self.replacing(self.file.name) as new:
            with new.open("wb") as stream:
                torch.save(state | {WRITTEN: written}, stream)
            with self.replacing("checkpoint.digest") as digests:
                digests.write_text("".join(f"{each}\n" for each in (_digest(new.read_bytes()), *before)))
                _sync(digests)
            _sync(new)
            _sync(self.folder)

    def read(self) -> dict[str, Any] | None:
        """None where there is none. Raises GsdError where it is damaged."""
        import torch

        content = self._content()
        if content is None:
            return None
        try:
            state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
            if not (isinstance(state, dict) and isinstance(state["step"], int)):
                raise TypeError
            return state
        except Exception as error:  # torch raises many kinds for a damaged file
            raise GsdError(
                f"{self.file} is damaged ({type(error).__name__}); delete it to start this run anew."
            ) from error

    def _content(self) -> bytes | None:
        for _ in range(TRIES):
            try:
                content = regular(self.file).read_bytes()
            except FileNotFoundError:
                return None
            except OSError as error:
                raise GsdError(f"{self.file} cannot be read ({error.strerror}); {ANEW}.") from error
            known = self._digests()
            if not known or _digest(content) in known:
                return content
        raise GsdError(
            f"{self.file} is damaged (its digest is not in checkpoint.digest); put a copy back, or delete it to start "
            "this run anew."
        )

    def _digests(self) -> list[str]:
        try:
            return regular(self.folder / "checkpoint.digest").read_text(encoding="utf-8", errors="replace").split()
        except FileNotFoundError:  # written by an earlier version
            return []
        except OSError as error:
            raise GsdError(f"{self.folder / 'checkpoint.digest'} cannot be read ({error.strerror}); {ANEW}.") from error

    def cut_lines(self, state: dict[str, Any]) -> None:
        """Leave in each .jsonl what the checkpoint holds. Raises GsdError where some of that is gone."""
        for name, (size, digest) in state[WRITTEN].items():
            file = self.folder / name
            content = file.read_bytes() if file.exists() else b""
            if len(content) < size:
                raise GsdError(
                    f"{file} has lost lines that checkpoint.pt knows of ({len(content)} of {size} bytes are there); "
                    f"{ANEW}."
                )
            if _digest(content[:size]) != digest:
                raise GsdError(f"{file} is not as it was when checkpoint.pt was written; {ANEW}.")
            if len(content) > size:
                with self.replacing(name) as shorter:
                    shorter.write_bytes(content[:size])


def _sealed(file: Path) -> tuple[int, str]:
    """The bytes in a file and their digest; they are on the disk then."""
    content = b""
    if file.exists():
        _sync(file)
        content = file.read_bytes()
    return len(content), _digest(content)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=32).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
