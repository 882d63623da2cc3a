"""Run folders as tables, reports and figures read them: where they lie, what was asked for, what came out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gsd.backend.regular import regular
from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.results.reading import Evaluation, RunConfig, Summary, checked, read_json, read_yaml, row, there

Status = Literal["done", "failed", "unfinished"]
MARKS = frozenset({"config.yaml", "DONE", "FAILED", "checkpoint.pt"})  # a folder with one of these is a run's
LISTS = ("loss", "metric")  # groups of which several options may be chosen
TAIL = 20_000  # bytes, more than a line of metrics.jsonl has
DEPTH = 3  # folders below the given one in which runs are looked for: outputs/NAME/SIGNATURE


@dataclass(frozen=True)
class Run:
    """A run folder, to be read. A file is read when it is asked for, and kept; one that is damaged raises GsdError.

    Args:
        path: the folder, outputs/NAME/SIGNATURE or multirun/NAME/SIGNATURE.

    Example:
        >>> run = gsd.Run(Path("outputs/an_owl/0f3a6c1e"))
        >>> run.status, run.choices["noising"], run.summary["psnr_aligned"]
        ('done', 'consistent', 24.1)
    """

    path: Path

    @property
    def signature(self) -> str:
        return self.path.name

    @property
    def status(self) -> Status:
        if os.path.exists(self.path / "DONE"):  # which, unlike Path.exists, never raises
            return "done"
        return "failed" if os.path.exists(self.path / "FAILED") else "unfinished"

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The final numbers, the options chosen and the cost; empty for a run that is not done.

        What `gsd evaluate` has measured since takes the place of the same numbers; "evaluated" then says on
        what turntable, metric by metric.
        """
        summary = read_json(self.path / "summary.json", Summary) if self.status == "done" else {}
        return _with_later(summary, self.evaluated) if summary else summary

    @cached_property
    def evaluated(self) -> dict[str, Any]:
        """evaluation.json: what `gsd evaluate` has measured after the run; empty if nothing."""
        file = self.path / "evaluation.json"
        return read_json(file, Evaluation) if there(file) else {}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config, to be read only; empty for a run that failed before it was resolved."""
        file = self.path / "config.yaml"
        return read_yaml(file, dict) if there(file) else {}

    @property
    def recipe(self) -> dict[str, Any]:
        """The config, whose own settings have the types that a run's have: parts can be made from it."""
        return checked(self.path / "config.yaml", self.config, RunConfig)

    @cached_property
    def overrides(self) -> list[str]:
        """What was typed, for example ["noising=random", "seed=1"]."""
        file = self.path / "overrides.yaml"
        return read_yaml(file, list[Any]) if there(file) else []

    @cached_property
    def choices(self) -> dict[str, Any]:
        """group -> the option chosen, by its name on the command line; a list of options for losses and metrics.

        choices.yaml has it from the start of a run. A folder from before there was one has the options in its summary,
        or else what was typed; what neither has is named by its class.
        """
        if there(file := self.path / "choices.yaml"):
            return read_yaml(file, dict[str, str | list[str] | None])
        return _guessed(self.config, self.typed) | self.summary.get("options", {})

    @property
    def typed(self) -> dict[str, str]:
        """The overrides by key, as in {"noising": "random", "seed": "1"}."""
        overrides = map(str, self.summary.get("overrides") or self.overrides)
        return dict(o.lstrip("+~").split("=", 1) for o in overrides if "=" in o)

    @property
    def step(self) -> int:
        """Steps recorded so far, of the last whole line of metrics.jsonl; what is damaged counts as none."""
        try:
            with regular(self.path / "metrics.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                return int(row(file.read().split(b"\n")[-2])["step"]) + 1
        except (OSError, ValueError, LookupError):
            return 0

    @property
    def reason(self) -> str:
        """Of a run that failed: the last line that FAILED has, which of a traceback is the exception."""
        return next((line.strip() for line in reversed(self.failure.split("\n")) if line.strip()), "")

    @property
    def failure(self) -> str:
        """All that FAILED has to say; empty if nothing."""
        try:
            return regular(self.path / "FAILED").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def records(self) -> list[dict[str, Any]]:
        """Every step's numbers."""
        return self._lines("metrics.jsonl")

    def evaluations(self) -> list[dict[str, Any]]:
        """What was measured during the run, see `gsd.runner.convergence`; empty with evaluate_every=0."""
        return self._lines("evaluations.jsonl")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return RunFolder(self.path).records(name)


def calls_to_threshold(
    evaluations: Sequence[dict[str, Any]], threshold: float, key: str = "psnr_aligned", larger_is_better: bool = True
) -> int | None:
    """The prior calls after which a run is as good as `threshold` and stays so; None if it never is.

    As fine as the evaluations are close: the first of those that reach it and after which none falls back.
    """
    sign = 1 if larger_is_better else -1
    reached = None
    for record in evaluations:
        if sign * record[key] < sign * threshold:
            reached = None
        elif reached is None:
            reached = record["prior_calls"]
    return reached


def find_runs(folders: Iterable[str | Path]) -> list[Run]:
    """The runs at or below the folders, in the order of their paths.

    Raises GsdError for a folder that does not exist or holds no run.
    """
    found: dict[Path, None] = {}
    for folder in map(Path, folders):
        if not os.path.isdir(folder):
            raise GsdError(f"{folder} does not exist; give a run folder, or one that holds run folders.")
        below = list(_search(folder, DEPTH, set()))
        if not below:
            raise GsdError(
                f"{folder} holds no run; give outputs/NAME/SIGNATURE, or a folder above such, as multirun/NAME."
            )
        found |= dict.fromkeys(below)
    return [Run(path) for path in sorted(found)]


def done_runs(folders: Iterable[str | Path], complain: Callable[[str], None] | None = None) -> list[Run]:
    """The runs that are done and whole; each other one is named in a sentence to `complain` (default: stderr)."""
    complain = complain or _to_stderr
    good = []
    for run in find_runs(folders):
        try:
            if run.status == "done" and run.summary:
                good.append(run)
            else:
                complain(f"{run.path} is {run.status}, left out.")
        except GsdError as error:
            complain(f"{error} Left out.")
    return good


def _guessed(config: dict[str, Any], typed: dict[str, str]) -> dict[str, Any]:
    """What a config says of the options that were chosen: lists have their names, of single ones it has the class."""
    found: dict[str, Any] = {}
    for group, section in config.items():
        if group in LISTS and isinstance(section, dict):
            found[group] = [name for name, part in section.items() if isinstance(part, dict) and "_target_" in part]
        elif isinstance(section, dict) and ("_target_" in section or not section):
            found[group] = typed.get(group) or section.get("_target_", "none").rpartition(".")[2]
    return found


def _with_later(summary: dict[str, Any], evaluation: dict[str, Any]) -> dict[str, Any]:
    """A summary with the numbers of evaluation.json."""
    summary = dict(summary)
    for name, measured in evaluation.get("metrics", {}).items():
        summary |= measured["numbers"]
        each = measured.get("particles", [])
        if len(each) == len(summary.get("particles", [])) > 0:
            summary["particles"] = [old | new for old, new in zip(summary["particles"], each, strict=True)]
        on = {key: measured[key] for key in ("views", "resolution")}
        summary["evaluated"] = summary.get("evaluated", {}) | {name: on}
    return summary


def _search(folder: Path, depth: int, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Each folder once, whatever links lead to it; one that cannot be looked into is told of as a run's would be."""
    try:
        place = folder.stat()
        if (place.st_dev, place.st_ino) in seen:
            return
        seen.add((place.st_dev, place.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError:
        yield folder
        return
    if MARKS & {entry.name for entry in entries}:
        yield folder
    elif depth:
        for entry in entries:
            if os.path.isdir(entry.path) and not entry.name.startswith("."):
                yield from _search(Path(entry.path), depth - 1, seen)


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)
