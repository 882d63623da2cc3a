"""What a sweep has to show, under the names it has in W&B."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from gsd.config import Config
from gsd.errors import GsdError, did_you_mean
from gsd.results.groups import Group, groupings
from gsd.results.sweep_folder import SweepFolder, count
from gsd.results.table import COSTS, NOMINAL, SEED, Row, Table, read
from gsd.tools.report import curves

READ = 40  # groups of which a run's curves are read, for their names
EVALUATION = curves.FILES["evaluations.jsonl"]  # before a quantity's name in a report; in W&B it is eval/
MEANINGLESS = frozenset({"loss/score"})  # only its derivative means something, see docs/architecture.md
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
        """What is worth saying before a dashboard is made."""
        notes = [f"{sentence} Left out." for sentence in self.left_out]
        if not self.logs:
            notes.append(f"No run of {self.path} logs to W&B (logger=wandb), so there will be nothing to show.")
        if not self.metrics:
            notes.append(
                "No run that is done has final numbers, so there are no panels of them; repeat the command then."
            )
        return notes


def content(path: Path, metric: str | None = None) -> Content:
    """Of a sweep's folder, whatever has come of it so far. metric: the main one; without it, the first there is.

    Raises GsdError for a folder that holds no run or several sweeps, and for a metric that no run has.
    """
    table = read([path])
    _refuse_above(path, table.rows)
    groups = groupings(table)[0].groups
    left_out = list(table.left_out)
    names = _quantities([_speaker(group, table.rows) for group in groups[:READ]], left_out)
    return Content(
        name=path.resolve().name.encode(errors="replace").decode(),  # a file's name may be no text
        path=path,
        counts=count(SweepFolder(path).rows()),
        commits=sorted({str(row.provenance["commit"]) for row in table.rows if "commit" in row.provenance}),
        runs=len(table.rows),
        groups=len(groups),
        seeds=max((len({table.rows[k].config.get(SEED) for k in group.members}) for group in groups), default=0),
        settings=[key for key in table.settings if key != SEED],
        metrics=_metrics(table, metric),
        costs=[name for name in COSTS if any(name in row.cost for row in table.rows)],
        evaluations=[f"eval/{name.removeprefix(EVALUATION)}" for name in names if name.startswith(EVALUATION)],
        vitals=[name for name in names if not name.startswith(EVALUATION)],
        pictures=[
            f"pictures/{name}"
            for name, folder in (("strip", "strips"), ("front", "frames"))
            if _any(table.rows, f"{folder}/*.png")
        ],
        turntable=_any(table.rows, "turntable.mp4"),
        points=_any(table.rows, "scene.ply"),
        clip_view=any("clip_margin" in row.metrics for row in table.rows),  # beside it, of particles too
        logs=any(key.startswith(LOGGED) for row in table.rows for key in row.config),
        logged=_logged(table.rows),
        left_out=left_out,
    )


def config_key(setting: str) -> str:
    """A setting's name in the config of a run in W&B: "noising", or "config.noising.kernel" in the whole config."""
    scalars = {field.name for field in fields(Config) if field.type != "Any"}  # a group may hold anything
    flat = setting in FLAT or ("." not in setting and setting not in scalars)
    return setting if flat else f"config.{setting}"


def _refuse_above(path: Path, rows: Iterable[Row]) -> None:
    """W&B has the runs of a sweep as the group of that sweep's name."""
    deeper = next((row.path.parent for row in rows if row.path.resolve().parent != path.resolve()), None)
    if deeper is not None:
        raise GsdError(f"{path} is not the folder of one sweep: runs lie in {deeper}; give a folder such as that.")


def _speaker(group: Group, rows: list[Row]) -> Row:
    """The run that stands for its group: one that is done has everything."""
    return min((rows[k] for k in group.members), key=lambda row: row.status != "done")


def _quantities(rows: Iterable[Row], left_out: list[str]) -> list[str]:
    """Of all curves of the runs, those that a mean over seeds says something of."""
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
