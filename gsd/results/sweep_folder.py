"""The folder of a sweep: sweep.json says what was asked for, the run folders in it what has become of that.

A folder may take several sweeps, one after the other: sweep.json has the last of each command.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from gsd.errors import GsdError
from gsd.results.folder import Holder, RunFolder
from gsd.results.reading import checked, finite, read_json, there
from gsd.results.runs import Run, find_runs

INTO = "hydra.sweep.dir="  # which follows from where the folder is, and is not recorded
State = Literal["failed", "damaged", "running", "pending", "done"]  # in the order in which they are listed


@dataclass(frozen=True)
class Job:
    """A run that a sweep asks for."""

    overrides: list[str]  # what the sweep varies
    steps: int


@dataclass(frozen=True)
class Sweep:
    """A sweep as it was begun."""

    overrides: list[str]  # as they were typed; a command line is made of them by gsd alone
    cwd: str
    launcher: str
    commit: str | None
    began: str  # ISO 8601
    jobs: dict[str, Job]  # name of the run's folder -> job
    folders: list[str] = field(default_factory=list)  # of options of the user's own
    prompts: dict[str, list[str]] = field(default_factory=dict)  # name of a file of prompts -> what it held


@dataclass(frozen=True)
class Standing:
    """Where a run stands."""

    name: str  # of its folder, below the sweep's
    state: State
    step: int
    steps: int | None  # None for a run that no sweep has asked for
    overrides: list[str]
    note: str = ""  # the reason of a failure, who runs it, where it was left


class SweepFolder:
    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Refuse a second sweep into the same folder at the same time."""
        with RunFolder(self.path).lock():
            yield

    @property
    def holder(self) -> Holder | None:
        return RunFolder(self.path).holder

    @property
    def sweeps(self) -> list[Sweep]:
        """In the order in which they began; empty where none has been recorded."""
        file = self.path / "sweep.json"
        if not there(file):
            return []
        try:
            content = [_with_overrides(each) for each in read_json(file, list[dict[str, Any]])]
            sweeps: list[Sweep] = checked(file, content, list[Sweep], strict=False)
            outside = [name for sweep in sweeps for name in sweep.jobs if not _below(name)]
            if outside:
                raise GsdError(f"{file} is damaged: {outside[0]!r} is no folder below it.")
        except GsdError as error:
            raise GsdError(f"{error} Delete it: the runs stay.") from error
        return sweeps

    def begin(self, sweep: Sweep) -> list[str]:
        """Record a sweep, in the place of one with the same overrides or the same runs.

        Returns what is worth saying of a sweep that has been here before.
        """
        before = self.sweeps
        kept = [s for s in before if s.overrides != sweep.overrides and s.jobs.keys() != sweep.jobs.keys()]
        content = json.dumps([asdict(s) for s in (*kept, sweep)], indent=1)
        try:
            RunFolder(self.path).write("sweep.json", content + "\n")
        except OSError as error:
            raise GsdError(f"{self.path} cannot be written to: {error.strerror}.") from error
        return [
            f"The config that this command makes has changed since {s.began} (commit {s.commit}): "
            f"{len(sweep.jobs.keys() - s.jobs.keys())} of {len(sweep.jobs)} runs have a new signature and are new runs."
            for s in before
            if s.overrides == sweep.overrides and s.jobs.keys() != sweep.jobs.keys()
        ]

    def rows(self) -> list[Standing]:
        """Every run that a sweep has asked for or that lies here, those that need attention first."""
        jobs = {name: job for sweep in self.sweeps for name, job in sweep.jobs.items()}
        runs = {str(run.path.relative_to(self.path)): run for run in self._runs(bool(jobs))}
        found = [_standing(name, run, jobs.get(name)) for name, run in runs.items()]
        missing = [
            Standing(name, "pending", 0, job.steps, job.overrides) for name, job in jobs.items() if name not in runs
        ]
        order = State.__args__  # type: ignore[attr-defined]
        return sorted([*found, *missing], key=lambda row: (order.index(row.state), row.overrides, row.name))

    def _runs(self, planned: bool) -> list[Run]:
        try:
            return find_runs([self.path])
        except GsdError:
            if planned and self.path.is_dir():
                return []  # nothing has begun yet
            raise


def _with_overrides(content: dict[str, Any]) -> dict[str, Any]:
    """Of a folder from before there were overrides: those of its command, whose program is not run."""
    content = dict(content)
    command = content.pop("command", None)
    if isinstance(command, list):
        kept = [word for word in map(str, command) if "=" in word or word[:1] == "~"]
        content["overrides"] = [word for word in kept if not word.startswith(INTO)]
    return content


def _standing(name: str, run: Run, job: Job | None) -> Standing:
    steps, overrides = (job.steps, job.overrides) if job else (None, [])
    try:
        if run.status == "done":
            cost = run.summary["seconds"]
            if not finite(cost):
                raise GsdError(f"{run.path / 'summary.json'} is damaged: seconds: {cost} is no number.")
            return Standing(name, "done", steps or 0, steps, overrides or run.summary["overrides"], f"{cost:.0f} s")
    except (GsdError, KeyError) as error:
        return Standing(name, "damaged", 0, steps, overrides, f"{error} Delete the folder to run it again.")
    holder = RunFolder(run.path).holder
    if holder:
        return Standing(name, "running", run.step, steps, overrides, str(holder))
    if run.status == "failed":
        return Standing(name, "failed", run.step, steps, overrides, run.reason)
    return Standing(name, "pending", run.step, steps, overrides, "stopped")


def _below(name: str) -> bool:
    """Whether it names a folder below another one."""
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def count(rows: Iterable[Standing]) -> str:
    """'8 runs: 6 done, 1 failed, 1 pending'."""
    states = Counter(row.state for row in rows)
    parts = [f"{states[s]} {s}" for s in ("done", "failed", "damaged", "running", "pending") if states[s]]
    return f"{states.total()} runs: {', '.join(parts) or 'none'}"


def table(rows: list[Standing]) -> str:
    """One line per run: state, folder, steps, settings, note."""
    cells = [["state", "run", "step", "settings", ""]] + [
        [row.state, row.name, f"{row.step}/{row.steps or '?'}", " ".join(row.overrides), row.note] for row in rows
    ]
    cells = [[" ".join(cell.splitlines()) for cell in line] for line in cells]  # a prompt may have line breaks
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)
