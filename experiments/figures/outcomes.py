"""What came out of the runs of the Janus benchmark, and the runs.csv that keeps it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from gsd.errors import GsdError

COHERENT_DEG = 20.0


@dataclass(frozen=True)
class Outcome:
    method: str  # as in PARTS
    subject: str
    bias: int
    seed: int
    janus: float
    coherent: float
    psnr: float
    view_error: float
    prior_calls: int
    empty: float = math.nan  # a runs.csv from before it was measured does not say

    @property
    def pair(self) -> tuple[str, int, int]:
        return self.subject, self.bias, self.seed


def coherent(found: dict[str, Any]) -> float:
    """1 for a run's summary with one front, no Janus verdict and views about where they belong, else 0.

    A run that shows nothing is empty: neither coherent nor Janus.
    """
    fronts, something = max(found["face_count"], found["front_count"]), not found.get("empty")
    return float(something and found["janus"] == 0 and fronts == 1 and found["view_error_deg"] < COHERENT_DEG)


def read(file: Path) -> list[Outcome]:
    """The outcomes of a runs.csv."""
    if not file.is_file():
        raise GsdError(f"{file} does not exist; --also takes the runs.csv of an earlier call.")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    kinds = get_type_hints(Outcome)
    return [Outcome(**{name: kind(row[name]) for name, kind in kinds.items() if name in row}) for row in rows]


def write(file: Path, outcomes: Sequence[Outcome]) -> None:
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, get_type_hints(Outcome))
        writer.writeheader()
        writer.writerows(vars(each) for each in outcomes)
