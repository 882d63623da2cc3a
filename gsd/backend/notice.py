"""What a user who waits should know."""

from __future__ import annotations

import logging
import sys


def notice(text: str) -> None:
    """On the terminal, else in the log."""
    if sys.stderr.isatty():
        print(f"gsd: {text}", file=sys.stderr, flush=True)
    else:
        logging.getLogger("gsd").info("gsd: %s", text)
