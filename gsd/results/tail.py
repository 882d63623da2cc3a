"""A .jsonl that another part of the program, or another process, is still writing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from gsd.results.reading import row


class Tail:
    """The lines that have been added to a file since the last look; a file that has been cut back is read anew."""

    def __init__(self, path: Path) -> None:
        self.path, self._read = path, 0  # bytes

    def new(self) -> list[dict[str, Any]]:
        """Whole lines only: one that is still being written comes with the next look."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            if file.seek(0, 2) < self._read:
                self._read = 0
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole + end)
        return [record for line in whole.split(b"\n") if line and (record := self._record(line))]

    def _record(self, line: bytes) -> dict[str, Any] | None:
        """None for a damaged line: the others go on."""
        try:
            return row(line)
        except ValueError as error:
            logging.getLogger("gsd").warning("gsd: a line of %s is damaged (%s), left out.", self.path, error)
            return None
