"""Run folders as the rows of a report: status, settings that differ, metrics, cost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gsd.errors import GsdError
from gsd.identity import NOT_IN_SIGNATURE
from gsd.results.outcome import outcome, shares, verdict
from gsd.results.quantities import HEADLINE, QUANTITIES
from gsd.results.reading import finite
from gsd.results.runs import LISTS, Run, Status, find_runs

SEED = "seed"
COSTS = ("seconds", "prior_calls", "peak_memory_mb")
MADE_BY = ("machine", "versions")
NOT_METRICS = frozenset({"prompt", "options", "overrides", "seed", "particles", "commit", *MADE_BY, *COSTS})
# A run's own choice among equals: shown for each run, but no mean of it says anything.
NOMINAL = frozenset({"yaw_deg", "clip_yaw_deg", "variant"})
NO_SETTINGS = frozenset({*NOT_IN_SIGNATURE, "profile", "metric"})  # how a run is done and measured, not what it is
OWN = 4  # metrics that gsd does not know, in the headline
REASON_CHARS = 4000  # of a traceback


@dataclass
class Row:
    """One run. Its settings are those in which the runs of the report differ, the seed last."""

    path: Path
    name: str  # its path below what all runs have in common
    status: Status
    reason: str  # why a run failed, or how far it came; empty for one that is done
    typed: frozenset[str]  # keys of its overrides
    config: dict[str, Any]  # flat, strings and numbers: "noising.kernel" -> "tent", "noising" -> "consistent"
    metrics: dict[str, float]
    verdict: str  # how many fronts its scenes have grown; empty where that was not measured
    turns: dict[str, list[float]]  # metrics with a value for each view of the turntable
    cost: dict[str, float]
    provenance: dict[str, str]  # commit, machine and versions, as "versions.torch"
    numberless: list[str]  # metrics whose value is none: nan, infinity, null
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether it failed by a sentence, as what a user can mend does, and not by an error of the program."""
        return self.status == "failed" and "Traceback" not in self.reason


@dataclass(frozen=True)
class Table:
    """Runs in the order of their settings, and what had to be left out."""

    rows: list[Row]
    settings: list[str]  # in which the runs differ: groups first, the seed last
    left_out: list[str]  # a sentence for each damaged folder

    @cached_property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.metrics))

    @property
    def headline(self) -> list[str]:
        """What is said first of these runs. Two of the outcomes are only where a run has come to them."""
        rare = {name for name in ("turned", "empty") if not any(row.metrics.get(name) for row in self.rows)}
        measured = [name for name in HEADLINE if name in self.metrics and name not in rare]
        own = [name for name in self.metrics if name not in QUANTITIES][:OWN]
        return [*measured, *own, *(name for name in HEADLINE if any(name in row.cost for row in self.rows))]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dict per run: its name as "run", its status, and the settings, metrics and costs that it has.

        Example:
            >>> pandas.DataFrame(gsd.read("multirun/ablation").to_dicts()).groupby("noising").psnr_aligned.mean()
        """
        return [
            {"run": row.name, "status": row.status, **row.settings, **row.metrics, **row.cost}
            | {"commit": row.provenance.get("commit", "")}
            for row in self.rows
        ]


def read(folders: str | Path | Iterable[str | Path]) -> Table:
    """Read runs as a table.

    Args:
        folders: run folders or folders that hold run folders, such as "multirun/ablation"; one or several.

    Returns:
        The table. Its `rows` have everything, `to_dicts()` the numbers as a flat dict for each run. What is damaged is
        in `left_out`.

    Raises:
        GsdError: for a folder that does not exist or holds no run.

    Example:
        >>> for row in gsd.read("multirun/ablation").rows:
        ...     print(row.settings, row.metrics["psnr_aligned"])
    """
    runs = find_runs([folders] if isinstance(folders, str | Path) else folders)
    paths = [run.path.resolve() for run in runs]
    above = _common(paths)
    rows, left_out = [], []
    for run, path in zip(runs, paths, strict=True):
        try:
            # A Run keeps what it has read: of thousands that would be too much
            rows.append(_row(Run(run.path), str(path.relative_to(above))))
        except GsdError as error:
            left_out.append(str(error))
    differing = _differing(rows)
    for row in rows:
        row.settings = {key: row.config[key] for key in differing if key in row.config}
    return Table(sorted(rows, key=lambda row: _order(row, differing)), differing, left_out)


def _row(run: Run, name: str) -> Row:
    summary, config = run.summary, run.config
    if run.status == "done" and not config:
        raise GsdError(f"{run.path} is done but has no config.yaml.")
    chosen = {k: v for k, v in run.choices.items() if v is not None}
    flat = _flat(config) | {k: v if isinstance(v, str) else "+".join(v) or "none" for k, v in chosen.items()}
    measured = {k: v for k, v in summary.items() if k not in NOT_METRICS}
    return Row(
        path=run.path,
        name=name if name != "." else run.path.resolve().name,
        status=run.status,
        reason=_reason(run, config),
        typed=frozenset(run.typed),
        config=flat,
        metrics={k: float(v) for k, v in measured.items() if finite(v)} | shares(summary),
        verdict="; ".join(verdict(scene) for scene in summary.get("particles") or [summary] if outcome(scene)),
        turns={k: v for k, v in measured.items() if isinstance(v, list) and v and all(map(finite, v))},
        cost={k: float(summary[k]) for k in COSTS if finite(summary.get(k))},
        numberless=[k for k, v in measured.items() if v is None or (isinstance(v, float | int) and not finite(v))],
        provenance=_flat({"commit": summary.get("commit"), **{name: summary.get(name, {}) for name in MADE_BY}})
        if summary
        else {},
    )


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key != "_target_":
            flat[f"{prefix}{key}"] = value if isinstance(value, str) or finite(value) else show(value)
    return flat


def _differing(rows: list[Row]) -> list[str]:
    """The settings in which runs differ: groups first, the seed last.

    What follows from another is not counted. An option that only some choices of a group have, or have with another
    default, follows from the choice: two runs must differ in it with the same choice. And what nobody typed follows
    from a group or a typed setting whose value fixes it, as steps of schedules follow from the length of the run.
    """
    seen: dict[str, dict[Any, set[str]]] = {}
    for row in rows:
        for key, value in row.config.items():
            group = key.split(".")[0]
            if group not in NO_SETTINGS:
                choice = row.config.get(group) if group != key and group not in LISTS else None
                seen.setdefault(key, {}).setdefault(choice, set()).add(show(value))
    groups = {key.split(".")[0] for key in seen if "." in key}
    keys = [key for key, choices in seen.items() if any(len(values) > 1 for values in choices.values())]
    typed = frozenset().union(*(row.typed for row in rows))
    firm = [key for key in keys if key in groups or any(f"{key}.".startswith(f"{t}.") for t in typed)]
    loose = [
        key for key in keys if key not in firm and not any(_fixes(rows, each, key) for each in firm if each != SEED)
    ]
    kept = [key for key in keys if key == SEED or key in firm or key in loose]
    return sorted(kept, key=lambda key: (key == SEED, key not in groups, key))


def _fixes(rows: list[Row], one: str, other: str) -> bool:
    """Whether runs with the same value of the one have the same of the other."""
    fixed: dict[str, str] = {}
    pairs = ((show(row.config.get(one)), show(row.config.get(other))) for row in rows if row.config)
    return all(fixed.setdefault(a, b) == b for a, b in pairs)


def _order(row: Row, settings: list[str]) -> list[Any]:
    """Numbers before words, what is missing last."""
    values = [row.settings.get(key) for key in settings]
    return [(v is None, not finite(v), float(v) if finite(v) else 0.0, show(v)) for v in values] + [row.name]


def _reason(run: Run, config: dict[str, Any]) -> str:
    if run.status == "failed":
        return run.failure.strip()[-REASON_CHARS:] or "no reason is given in FAILED"
    if run.status == "unfinished":
        return f"at step {run.step} of {config.get('steps', '?')}" if run.step else "no step is recorded yet"
    return ""


def _common(paths: list[Path]) -> Path:
    """The deepest folder that holds all of them; of one run, the run itself."""
    common = paths[0]
    while not all(path.is_relative_to(common) for path in paths):
        common = common.parent
    return common


def show(value: object) -> str:
    """A setting in the words of a config."""
    if isinstance(value, str):
        return value
    if type(value) in (int, float) and finite(value):
        return repr(value)  # what json says too, in a tenth of the time: there are many
    return json.dumps(value, ensure_ascii=False, default=str)
