"""A .jsonl that another part of the program, or another process, is still writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Tail:
    """The lines that have been added to a file since the last look; a file that has been cut back is read anew."""

    def __init__(self, path: Path) -> None:
        self.path, self._read = path, 0  # bytes

    def new(self) -> list[dict[str, Any]]:
        """Whole lines only: one that is still being written comes with the next look."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            if file.seek(0, 2) < self._read:
                self._read = 0
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole + end)
        return [json.loads(line) for line in whole.splitlines()]
