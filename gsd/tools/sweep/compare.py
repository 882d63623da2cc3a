"""Two results of the same sweep, run by run: which metric has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gsd.results import markdown
from gsd.results.groups import verdicts
from gsd.results.reading import finite
from gsd.results.table import NOMINAL, SEED, Row, Table, read, show
from gsd.statistics.estimates import LEVEL, Estimate
from gsd.statistics.pairs import paired
from gsd.tools.sweep.summary import by_seed, differences, leaves_out_0

CALLS = "prior_calls"  # a cost that is no accident of the machine


@dataclass(frozen=True)
class Move:
    """A metric of a group, before and after. The interval of the difference holds for all rows together."""

    group: str
    metric: str
    before: float
    after: float
    difference: Estimate  # after less before, paired by seed

    @property
    def moved(self) -> bool:
        """By more than its interval. With fewer than three seeds there is no interval, and so no move."""
        return leaves_out_0(self.difference)


def compare(before: Path, after: Path) -> list[Move]:
    """Every metric of every group of runs that are done in both folders, what has moved first.

    Groups are those of `after`, alike but for the seed. Intervals are Student's at a level at which the chance that any
    of them misses is 5 % (Bonferroni), or a table of a hundred numbers would raise an alarm every night.
    """
    old, new = read([before]), read([after])
    settings = [key for key in new.settings if key != SEED]
    groups, olds = _by(new, settings), _by(old, settings)
    metrics = [name for name in (*new.metrics, CALLS) if name not in NOMINAL]
    pairs = {(g, m): differences(groups[g], olds[g], m) for g in groups if g in olds for m in metrics}
    pairs = {key: values for key, values in pairs.items() if values}
    level, yes_no = 1 - (1 - LEVEL) / max(1, len(pairs)), verdicts(new)
    moves = [
        Move(
            *(group, metric, _mean(olds[group], metric), _mean(groups[group], metric)),
            paired(values, range(len(values)), metric in yes_no, level).mean,
        )
        for (group, metric), values in pairs.items()
    ]
    return sorted(moves, key=lambda move: not move.moved)


def regression_table(moves: Sequence[Move], before: str, after: str) -> str:
    """Markdown: what has moved, then the rest."""
    moved = sum(move.moved for move in moves)
    lines = [
        {"": "moved" if m.moved else "", "group": m.group, "metric": m.metric}
        | {"before": f"{m.before:.4g}", "after": f"{m.after:.4g}", "difference": f"{m.difference:+.3g}"}
        for m in moves
    ]
    return (
        f"# {after} against {before}\n\n"
        f"{moved} of {len(moves)} numbers have moved. Differences are paired by seed; their intervals hold together at "
        f"{LEVEL:.0%} (Student, Bonferroni).\n\n{markdown.table(lines)}"
    )


def _by(table: Table, settings: list[str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        if row.status == "done":
            label = " ".join(f"{key}={show(row.config[key])}" for key in settings if key in row.config)
            groups.setdefault(label or "all runs", []).append(row)
    return groups


def _mean(rows: list[Row], metric: str) -> float:
    values = [value for value in by_seed(rows, metric).values() if finite(value)]
    return sum(values) / len(values)
