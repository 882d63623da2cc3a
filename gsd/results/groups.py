"""Runs gathered by their settings: what to expect of a setting, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gsd.results.quantities import quantity
from gsd.results.table import NOMINAL, SEED, Row, Table, show
from gsd.statistics.estimates import Estimate, averaged, band
from gsd.statistics.proportions import share

POOLED = 6  # settings that get a grouping of their own


@dataclass(frozen=True)
class Group:
    """Runs with the same values of some settings."""

    label: str
    members: list[int]  # indices of rows


@dataclass(frozen=True)
class Grouping:
    """All runs, parted by the settings named."""

    name: str
    keys: list[str]  # those settings
    groups: list[Group]


def groupings(table: Table) -> list[Grouping]:
    """By all settings but the seed first; then by each alone, pooled over what else differs."""
    settings = [key for key in table.settings if key != SEED]
    whole = [("all settings but the seed", settings)]
    if len(settings) > 2 and "prompt" in settings:
        whole.append(("all settings but seed and prompt", [key for key in settings if key != "prompt"]))
    alone = [(f"{key}, the rest pooled", [key]) for key in settings[:POOLED] if len(settings) > 1]
    return [Grouping(name, keys, parted(table.rows, keys)) for name, keys in (*whole, *alone)]


def parted(rows: Sequence[Row], keys: list[str]) -> list[Group]:
    """In the order in which the rows come."""
    parts: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        values = [f"{key}={show(row.settings[key])}" for key in keys if key in row.settings]
        parts.setdefault(" ".join(values) or ("settings unknown" if keys else "all runs"), []).append(index)
    return [Group(label, members) for label, members in parts.items()]


def estimates(rows: Sequence[Row], verdicts: frozenset[str]) -> dict[str, Estimate]:
    """Of each number of the rows that are done: a share for verdicts, else a mean. Empty where none is done.

    Where rows have several prompts, the mean is that of the prompts' means, and the interval is over the prompts. No
    interval leaves the values that its number can have, and none is of fewer than three prompts or runs of one prompt.
    """
    done = [row for row in rows if row.status == "done"]
    numbers, prompts = [row.metrics | row.cost for row in done], [row.config.get("prompt") for row in done]
    names = [name for name in dict.fromkeys(name for each in numbers for name in each) if name not in NOMINAL]
    if not names:
        return {}
    values = np.array([[each.get(name, np.nan) for name in names] for each in numbers], float)
    found = {}
    for name, column, value, low, high in zip(names, values.T, *band(averaged(values, prompts)), strict=True):
        known = np.flatnonzero(np.isfinite(column)).tolist()
        estimate = Estimate(float(value), float(low), float(high), len(known))
        if name in verdicts:
            estimate = share(column[known].tolist(), [prompts[k] for k in known])
        found[name] = estimate.within(quantity(name).low, quantity(name).high)
    return found


def tally(rows: Sequence[Row]) -> dict[str, int]:
    """What has become of runs: those that are done and have no number, or show nothing, are told apart too.

    No mean counts more than `done` runs, and none counts those without a number.
    """
    done = [row for row in rows if row.status == "done"]
    return {
        "runs": len(rows),
        "done": len(done),
        "failed": sum(row.status == "failed" and not row.refused for row in rows),
        "refused": sum(row.refused for row in rows),
        "unfinished": sum(row.status == "unfinished" for row in rows),
        "empty": sum(row.metrics.get("empty", 0) > 0.5 for row in done),
        "without a number": sum(bool(row.numberless) for row in done),
    }


def verdicts(table: Table) -> frozenset[str]:
    """Metrics that say yes or no: 1 or 0 in every run. A count that happens to be 0 or 1 is none."""
    values = {name: {row.metrics[name] for row in table.rows if name in row.metrics} for name in table.metrics}
    return frozenset(name for name in values if values[name] <= {0.0, 1.0} and not name.endswith("_count"))


def importance(table: Table) -> dict[str, dict[str, float]]:
    """metric -> setting -> share of the metric's variance that lies between the setting's values, the others pooled.

    Epsilon squared (Kelley 1935): eta squared less what chance alone would give it, not below 0. Settings with a value
    of their own in every run say nothing and are left out.
    """
    done = [row for row in table.rows if row.status == "done"]
    levels = {
        key: np.unique([show(row.settings.get(key)) for row in done], return_inverse=True)[1] for key in table.settings
    }
    shares: dict[str, dict[str, float]] = {}
    for metric in table.metrics:
        values = np.array([row.metrics.get(metric, np.nan) for row in done])
        known = np.isfinite(values)
        if metric not in NOMINAL and known.sum() > 2 and np.ptp(values[known]) > 0:
            shares[metric] = {
                key: _epsilon_squared(values[known], each[known])
                for key, each in levels.items()
                if 1 < len(np.unique(each[known])) < known.sum()
            }
    return shares


def _epsilon_squared(values: Float[np.ndarray, " n"], levels: Int[np.ndarray, " n"]) -> float:
    _, level = np.unique(levels, return_inverse=True)
    count = np.bincount(level)
    within = float(((values - (np.bincount(level, values) / count)[level]) ** 2).sum())
    total = float(((values - values.mean()) ** 2).sum())
    noise = within / (len(values) - len(count))
    return max(0.0, (total - within - (len(count) - 1) * noise) / total)
