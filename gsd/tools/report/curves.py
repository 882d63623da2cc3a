"""Curves of runs, thinned to what a plot can show, and their means over the runs of a group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gsd.results.quantities import quantity
from gsd.results.reading import HUGE, read_rows, read_text, there
from gsd.statistics.estimates import averaged, band

AXES = ("step", "prior_calls", "seconds")
BINS = 100  # points of a curve
LINES = 1500  # of a file that are read: for longer runs every second, third ...
FILES = {"metrics.jsonl": "", "evaluations.jsonl": "evaluation/"}  # and what goes before their quantities' names


@dataclass(frozen=True)
class Curves:
    """Quantities of a run over its steps, or their means over spans of steps; nan where a record lacks one."""

    places: Int[np.ndarray, " R"]  # steps or, once thinned, numbers of spans
    axes: dict[str, Float[np.ndarray, " R"]]
    values: dict[str, Float[np.ndarray, " R"]]


@dataclass(frozen=True)
class Band:
    """A quantity over the runs of a group: mean and interval for each span of steps; nan where they are too few."""

    axes: dict[str, Float[np.ndarray, " B"]]
    value: Float[np.ndarray, " B"]
    low: Float[np.ndarray, " B"]
    high: Float[np.ndarray, " B"]


def read(folder: Path) -> list[Curves]:
    """One for each file of a run. Raises GsdError for a damaged file; a last line that is cut off is left out."""
    found = {prefix: _records(folder / name) for name, prefix in FILES.items() if there(folder / name)}
    return [_curves(records, prefix) for prefix, records in found.items() if records]


def _records(file: Path) -> list[dict[str, Any]]:
    return read_rows(file, stride=max(1, read_text(file).count("\n") // LINES))


def _curves(records: list[dict[str, Any]], prefix: str) -> Curves:
    columns = {}
    for name in dict.fromkeys(name for record in records for name in record):
        try:
            column = np.array([record.get(name) for record in records], float)
        except (TypeError, ValueError):
            continue  # words, not numbers
        if column.ndim == 1:  # not a list at each step, as the views of a turntable are
            columns[name] = np.where(np.abs(column) < HUGE, column, np.nan)
    axes = {name: column for name, column in columns.items() if name in AXES}
    values = {prefix + name: column for name, column in columns.items() if name not in AXES}
    return Curves(axes["step"].astype(int), axes, values)


def span(runs: Sequence[Curves]) -> int:
    """Steps per point, so that the longest run has at most BINS points."""
    return max([1, *(-(-(int(curves.places.max()) + 1) // BINS) for curves in runs)])


def thinned(curves: Curves, span: int) -> Curves:
    """Means over spans of steps, which are the same for every run of a report."""
    bins, index = np.unique(curves.places // span, return_inverse=True)

    def mean(column: Float[np.ndarray, " R"]) -> Float[np.ndarray, " B"]:
        known = np.isfinite(column)
        count = np.bincount(index, known, len(bins))
        return np.bincount(index, np.where(known, column, 0), len(bins)) / np.where(count, count, np.nan)

    axes, values = ({k: mean(column) for k, column in each.items()} for each in (curves.axes, curves.values))
    return Curves(bins, axes, values)


def bands(runs: Sequence[Curves], prompts: Sequence[Hashable]) -> dict[str, Band]:
    """quantity -> its band over the thinned runs that have it, at the mean of their steps, calls and seconds.

    prompts: of each run; where there are several, the band is over the means of each prompt's runs.
    """
    having: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        for name in run.values:
            having.setdefault(name, []).append(index)
    found: dict[str, Band] = {}
    for several in set(map(tuple, having.values())):  # quantities of the same runs share their axes
        names = [name for name in having if tuple(having[name]) == several]
        found |= _bands([runs[index] for index in several], names, [prompts[index] for index in several])
    return {name: found[name] for name in having}


def _bands(runs: Sequence[Curves], names: Sequence[str], prompts: Sequence[Hashable]) -> dict[str, Band]:
    bins = np.unique(np.concatenate([run.places for run in runs]))
    places = [np.searchsorted(bins, run.places) for run in runs]

    def over(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        rows = np.full((len(runs), len(bins)), np.nan)
        for row, place, column in zip(rows, places, columns, strict=True):
            row[place] = column
        return band(averaged(rows, prompts))

    axes = {axis: over([r.axes[axis] for r in runs])[0] for axis in AXES if all(axis in r.axes for r in runs)}
    return {name: _within(name, Band(axes, *over([run.values[name] for run in runs]))) for name in names}


def _within(name: str, found: Band) -> Band:
    """With its interval cut to the values that the quantity can have."""
    bounds = quantity(name.removeprefix(FILES["evaluations.jsonl"]))
    return replace(found, low=found.low.clip(bounds.low, bounds.high), high=found.high.clip(bounds.low, bounds.high))


def turns(runs: Sequence[list[float]], prompts: Sequence[Hashable]) -> Band:
    """The band of a metric with a value for each view of the turntable, by azimuth; prompts as in `bands`."""
    views = max(map(len, runs))
    whole = [k for k, run in enumerate(runs) if len(run) == views]
    degrees, values = np.arange(views) * 360 / views, np.array([runs[k] for k in whole], float)
    return Band({"azimuth": degrees}, *band(averaged(values, [prompts[k] for k in whole])))
