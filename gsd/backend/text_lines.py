"""Files of texts, one per line, as users write them."""

from __future__ import annotations

from pathlib import Path

from gsd.backend.regular import regular
from gsd.errors import GsdError

COMMENT = "#"


def lines(file: Path, setting: str) -> list[str]:
    """The texts, without spaces around them. Blank lines count for nothing, nor do those that begin with #.

    Args:
        file: in UTF-8, with or without a byte-order mark.
        setting: what named it, as key=value, for error messages.

    Raises:
        GsdError: where it cannot be read or has no text.
    """
    wanted = "give a text file with one prompt per line"
    try:
        texts = [line.strip() for line in regular(file).read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError:
        raise GsdError(f"{setting} cannot be read: it is not in UTF-8; {wanted}.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise GsdError(f"{setting} cannot be read ({why}); {wanted}.") from error
    found = [text for text in texts if text and not text.startswith(COMMENT)]
    if not found:
        raise GsdError(f"{setting} is empty; {wanted}.")
    return found
