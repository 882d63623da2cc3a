"""Files that end: not pipes, whose reader waits for ever for a writer, nor devices, which give bytes without end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def regular(file: Path) -> Path:
    """The path, to be opened. Raises OSError for what is there and is neither a file nor a folder."""
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return file  # whoever opens it says why it cannot be
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "It is a pipe or a device, and no file", str(file))
    return file
