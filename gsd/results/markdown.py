"""Tables in Markdown, as summaries, figures and benchmarks write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """One line per row; the columns are the keys of the first. Empty without rows."""
    if not rows:
        return ""
    lines = [[_cell(value) for value in line] for line in (rows[0], *(row.values() for row in rows))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]) + "\n"


def _cell(value: object) -> str:
    """In one line, since a prompt may have line breaks and a row may not."""
    return " ".join(str(value).splitlines()).replace("|", "\\|")
