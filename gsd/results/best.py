"""Which group of runs is best in a number, and how sure that is: differences to it, paired by all else that runs share.

Runs of two groups are a pair where they agree in seed, prompt and every other setting that the grouping pools. What
varies between seeds cancels in their difference, so that its interval is often much narrower than those of the means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsd.results.groups import Grouping
from gsd.results.quantities import quantity
from gsd.results.table import Row, Table, show
from gsd.statistics.estimates import Estimate, averaged
from gsd.statistics.pairs import paired


@dataclass(frozen=True)
class Comparison:
    """The best group, and of each group the mean difference to it; None without a pair."""

    best: int
    differences: list[Estimate | None]


def comparison(table: Table, grouping: Grouping, name: str) -> Comparison | None:
    """Of a number of the summary; None where less than two groups have it, or neither direction is better.

    A group of which most runs are empty is not the best, whatever its number is: nothing has no fog and no second face.
    Where only one other group is left, it is not called the best for being beaten by nothing.
    """
    pooled = [key for key in table.settings if key not in grouping.keys]
    groups = [_by(pooled, [table.rows[k] for k in group.members], name) for group in grouping.groups]
    known = [place for place, values in enumerate(groups) if values]
    better = quantity(name).better
    if better is None or len(known) < 2:
        return None
    means = {place: _mean(groups[place]) for place in known}
    shown = [place for place in known if not _mostly_empty([table.rows[k] for k in grouping.groups[place].members])]
    pick = max if better == "higher" else min
    best = pick(shown, key=means.__getitem__, default=None)
    if best is None or (len(shown) == 1 and pick(known, key=means.__getitem__) != best):
        return None
    return Comparison(best, [_difference(values, groups[best], name) for values in groups])


Paired = dict[tuple[str, ...], tuple[float, object]]  # what a pair shares -> the number, and the prompt


def _by(pooled: Sequence[str], rows: Sequence[Row], name: str) -> Paired:
    return {
        tuple(show(row.settings.get(key)) for key in pooled): (number, row.config.get("prompt"))
        for row in rows
        if row.status == "done" and (number := (row.metrics | row.cost).get(name)) is not None
    }


def _mostly_empty(rows: Sequence[Row]) -> bool:
    measured = [row.metrics["empty"] for row in rows if "empty" in row.metrics]
    return sum(measured) > len(measured) / 2


def _mean(group: Paired) -> float:
    """Over the prompts, if there are several, each the mean of its values."""
    numbers, prompts = zip(*group.values(), strict=True)
    return float(averaged(np.array(numbers)[:, None], prompts).mean())


def _difference(group: Paired, best: Paired, name: str) -> Estimate | None:
    """Over the prompts, as `_mean`; without an interval for few."""
    pairs = [(number - best[key][0], prompt) for key, (number, prompt) in group.items() if key in best]
    if not pairs:
        return None
    differences, prompts = zip(*pairs, strict=True)
    return paired(differences, prompts).mean.within(-quantity(name).span, quantity(name).span)
