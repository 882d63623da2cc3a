"""Tables as .csv, of which no cell runs as a formula where a spreadsheet opens them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # what formulas begin with, in full width too


def text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A line per row; a column that a row lacks is left empty."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow([harmless(name) for name in columns])
    lines.writerows([harmless(row.get(name, "")) for name in columns] for row in rows)
    return out.getvalue()


def harmless(cell: object) -> object:
    """Text that a spreadsheet would take for a formula gets a quote in front; numbers, also as text, stay numbers."""
    if isinstance(cell, str) and cell.startswith(FORMULA) and not _is_number(cell):
        return f"'{cell}"
    return cell


def plain(cell: str) -> str:
    """What `harmless` was given."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip() == cell
