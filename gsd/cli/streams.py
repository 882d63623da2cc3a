"""What is printed decides nothing: a closed or broken stdout, or one of few letters, ends no command and no run."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any

UTF8 = "PYTHONUTF8"
STANDARD = ("stdin", "stdout", "stderr")  # by their file descriptors


class Enduring(io.FileIO):
    """Takes what it is given, whether or not anybody reads it."""

    def write(self, content: Any) -> int:
        try:
            written = super().write(content)
        except OSError:  # `| head`, a terminal that was closed, a full disk behind >
            written = None
        return len(memoryview(content).cast("B")) if written is None else written


def endure() -> None:
    """Make stdout and stderr of this process endure, unless they were replaced, as in a notebook or in a test.

    Letters that the encoding lacks are written as \\xe9. A descriptor that is closed is opened to nowhere, lest the
    next file that is opened becomes the standard output of this program and of those that it starts.
    """
    for number in range(len(STANDARD)):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(nowhere := os.open(os.devnull, os.O_RDWR), number)
            if nowhere != number:
                os.close(nowhere)
    for number, name in enumerate(STANDARD[1:], 1):
        present = getattr(sys, name)
        if present is None or (present is getattr(sys, f"__{name}__") and not _endures(present)):
            setattr(sys, name, _stream(number, present))


def understand() -> None:
    """Start this program anew in UTF-8 where file names are ASCII alone: folders and prompts have other letters."""
    ascii_alone = codecs.lookup(sys.getfilesystemencoding()).name == "ascii"
    if ascii_alone and os.environ.get(UTF8) != "1":
        os.environ[UTF8] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _endures(stream: Any) -> bool:
    return isinstance(getattr(getattr(stream, "buffer", None), "raw", None), Enduring)


def _stream(number: int, present: Any) -> io.TextIOWrapper:
    if present is not None:
        present.flush()
    binary = io.BufferedWriter(Enduring(number, "w", closefd=False))
    encoding = present.encoding if present is not None else "utf-8"
    line_by_line = number == 2 or binary.isatty()
    return io.TextIOWrapper(binary, encoding, "backslashreplace", line_buffering=line_by_line)
