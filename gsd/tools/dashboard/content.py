"""What a sweep has to show, under the names it has in W&B."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from gsd.config import Config
from gsd.errors import GsdError, did_you_mean
from gsd.results.groups import groupings
from gsd.results.quantities import MEANINGLESS
from gsd.results.sweep_folder import SweepFolder, count
from gsd.results.table import COSTS, NOMINAL, SEED, Row, Table, read
from gsd.tools.report import curves

READ = 40  # groups of which one run's curves are read, for their names
EVALUATION = curves.FILES["evaluations.jsonl"]  # before a quantity's name in a report; in W&B it is eval/
LOGGED = "logger.wandb."  # what the config of a run that logs to W&B has
FLAT = frozenset({"prompt", SEED, "steps"})  # beside the groups, on the top level of a run's config in W&B


@dataclass(frozen=True)
class Content:
    """A sweep. Settings, quantities and files are those that its runs have."""

    name: str  # of its folder, which is the group of its runs
    path: Path
    counts: str  # "8 runs: 6 done, 2 running"
    commits: list[str]
    runs: int
    groups: int  # of runs that are alike but for the seed
    seeds: int  # of the group with the most
    settings: list[str]  # swept, the seed left out
    metrics: list[str]  # final numbers, the main one first; empty until a run is done
    costs: list[str]
    evaluations: list[str]  # measured on the way: eval/...
    vitals: list[str]  # of every step
    pictures: list[str]  # of some steps: pictures/strip, pictures/front
    turntable: bool
    points: bool
    clip_view: bool
    logs: bool  # whether any run logs to W&B
    logged: dict[str, str]  # entity and project, where the runs' configs agree on them
    left_out: list[str]  # a sentence for each thing that is damaged

    @property
    def main(self) -> str | None:
        """The metric that settings are judged by."""
        return self.metrics[0] if self.metrics else None

    @property
    def notes(self) -> list[str]:
        """What the user should know before a dashboard is made."""
        notes = [f"{sentence} Left out." for sentence in self.left_out]
        if not self.logs:
            notes.append(f"No run of {self.path} logs to W&B (logger=wandb), so there will be nothing to show.")
        if not self.metrics:
            notes.append("No finished run has final numbers, so they have no panels; repeat the command later.")
        return notes


def content(path: Path, metric: str | None = None) -> Content:
    """What a sweep's folder has so far. metric: the main one; without it, the first there is.

    Raises GsdError for a folder that holds no run or several sweeps, and for a metric that no run has.
    """
    table = read([path])
    rows, groups, left_out = table.rows, groupings(table)[0].groups, list(table.left_out)
    _refuse_above(path, rows)
    members = [[rows[k] for k in group.members] for group in groups]
    # One run speaks for its group: one that is done, if there is any, since it has everything
    names = _quantities([min(each, key=lambda row: row.status != "done") for each in members[:READ]], left_out)
    pictures = {"pictures/strip": "strips/*.png", "pictures/front": "frames/*.png"}
    return Content(
        name=path.resolve().name.encode(errors="replace").decode(),  # a file's name may be no text
        path=path,
        counts=count(SweepFolder(path).rows()),
        commits=sorted({str(row.provenance["commit"]) for row in rows if "commit" in row.provenance}),
        runs=len(rows),
        groups=len(groups),
        seeds=max((len({row.config.get(SEED) for row in each}) for each in members), default=0),
        settings=[key for key in table.settings if key != SEED],
        metrics=_metrics(table, metric),
        costs=[name for name in COSTS if any(name in row.cost for row in rows)],
        evaluations=[f"eval/{name.removeprefix(EVALUATION)}" for name in names if name.startswith(EVALUATION)],
        vitals=[name for name in names if not name.startswith(EVALUATION)],
        pictures=[key for key, pattern in pictures.items() if _any(rows, pattern)],
        turntable=_any(rows, "turntable.mp4"),
        points=_any(rows, "scene.ply"),
        clip_view=any("clip_margin" in row.metrics for row in rows),  # of several particles, it has no curves
        logs=any(key.startswith(LOGGED) for row in rows for key in row.config),
        logged=_logged(rows),
        left_out=left_out,
    )


def config_key(setting: str) -> str:
    """A setting's name in the config of a run in W&B: "noising", or "config.noising.kernel" in the whole config."""
    scalars = {field.name for field in fields(Config) if field.type != "Any"}  # a group may hold anything
    flat = setting in FLAT or ("." not in setting and setting not in scalars)
    return setting if flat else f"config.{setting}"


def _refuse_above(path: Path, rows: Iterable[Row]) -> None:
    """At W&B, the runs of a sweep are the group with the sweep's name."""
    rows = list(rows)
    deeper = next((row.path.parent for row in rows if row.path.resolve().parent != path.resolve()), None)
    if deeper is not None and any(row.path.resolve() == path.resolve() for row in rows):
        raise GsdError(f"{path} is the folder of one run; give that of a sweep, which holds the folders of runs.")
    if deeper is not None:
        raise GsdError(f"{path} is not the folder of one sweep: runs lie in {deeper}; give a folder such as that.")


def _quantities(rows: Iterable[Row], left_out: list[str]) -> list[str]:
    """The names of the runs' curves, without those whose mean over seeds says nothing."""
    found: dict[str, None] = {}
    for row in rows:
        try:
            found |= dict.fromkeys(name for each in curves.read(row.path) for name in each.values)
        except GsdError as error:
            left_out.append(str(error))
    return [name for name in found if name not in MEANINGLESS and name.removeprefix(EVALUATION) not in NOMINAL]


def _metrics(table: Table, main: str | None) -> list[str]:
    names = [name for name in table.metrics if name not in NOMINAL]
    if main is not None and main not in names:
        raise GsdError(
            f"--metric {main}: the runs that are done have {', '.join(names) or 'none'}{did_you_mean(main, names)}"
        )
    return sorted(names, key=lambda name: name != main)


def _any(rows: Iterable[Row], pattern: str) -> bool:
    return any(next(row.path.glob(pattern), None) is not None for row in rows)


def _logged(rows: Iterable[Row]) -> dict[str, str]:
    found = {}
    for key in ("entity", "project"):
        values = {str(row.config.get(LOGGED + key)) for row in rows} - {"None", "null"}
        if len(values) == 1:
            found[key] = values.pop()
    return found
