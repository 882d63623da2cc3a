"""What a sweep says: its runs in summary.csv, means over seeds and differences in summary.md, a page in report.html."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gsd.errors import GsdError, did_you_mean
from gsd.results import markdown, spreadsheet
from gsd.results.folder import RunFolder
from gsd.results.groups import Group, estimates, groupings, tally, verdicts
from gsd.results.quantities import quantity
from gsd.results.sweep_folder import SweepFolder, count
from gsd.results.table import COSTS, NOMINAL, SEED, Row, Table, read, show
from gsd.statistics.estimates import Estimate
from gsd.statistics.pairs import paired

HEAD = """# {name}

{counts}. Commit {commits}.

Means over seeds; of three runs or more with 95 % intervals, Student's or, for a yes or no, Wilson's. Differences are to
**{baseline}**, paired by seed; * marks an interval that leaves out 0, or McNemar's p below 0.05 for a yes or no. Each
stands for itself: one in twenty is marked by chance alone. Seeds of one prompt say nothing about other prompts;
report.html pools prompts and takes them as the units.

## What has become of the runs

Means are over the runs that are done and have the number. Refused: failed by a sentence that says what to mend. Empty:
done, but of most scenes nothing is left. Without a number: done, but a metric is nan or missing.

{tallies}{left_out}
"""


def write(path: str | Path, baseline: str | None = None) -> list[Path]:
    """Write summary.csv, summary.md and report.html into the sweep's folder and return their paths.

    baseline: the settings, or some of them, of the group that the others are compared with; without it, the first that
    the sweep asks for. Raises GsdError where no run is done.
    """
    from gsd.tools import report

    folder = SweepFolder(path)
    table = read([folder.path])
    for sentence in table.left_out:
        print(sentence, file=sys.stderr)
    everything = _in_order(folder, table)
    groups = [g for g in everything if any(table.rows[k].status == "done" for k in g.members)]
    if not groups:
        raise GsdError(f"{folder.path} has no run that is done, so there is nothing to sum up.")
    head = _head(folder, table, everything, _chosen(groups, baseline))
    text = head + _markdown(table, groups, _chosen(groups, baseline))
    RunFolder(folder.path).write("summary.csv", _csv(table))
    RunFolder(folder.path).write("summary.md", text)
    report.write_table(table, folder.path / "report.html")
    return [folder.path / name for name in ("summary.csv", "summary.md", "report.html")]


def by_seed(rows: Iterable[Row], metric: str) -> dict[Any, float]:
    """seed -> number, of the runs that have it."""
    numbers = ((row.config.get(SEED), (row.metrics | row.cost).get(metric)) for row in rows if row.status == "done")
    return {seed: value for seed, value in numbers if value is not None}


def differences(rows: Iterable[Row], baseline: Iterable[Row], metric: str) -> list[float]:
    """Of the seeds that both have."""
    a, b = by_seed(rows, metric), by_seed(baseline, metric)
    return [a[seed] - b[seed] for seed in a if seed in b]


def _in_order(folder: SweepFolder, table: Table) -> list[Group]:
    """The groups of runs that are alike but for the seed, as the sweeps ask for them."""
    names = list(dict.fromkeys(name for sweep in folder.sweeps for name in sweep.jobs))
    places = {os.path.realpath(folder.path / name): k for k, name in enumerate(names)}
    first = [places.get(os.path.realpath(row.path), len(places)) for row in table.rows]
    return sorted(groupings(table)[0].groups, key=lambda group: min(first[k] for k in group.members))


def _chosen(groups: Sequence[Group], baseline: str | None) -> Group:
    if baseline is None:
        return groups[0]
    exact = [group for group in groups if group.label == baseline]  # a prompt may hold the words of another
    fitting = exact or [group for group in groups if set(baseline.split()) <= set(group.label.split(" "))]
    if len(fitting) != 1:
        labels = [group.label for group in groups]
        some = "; ".join(labels[:8]) + (" ..." if len(labels) > 8 else "")
        hint = did_you_mean(baseline, labels)
        raise GsdError(f"--baseline '{baseline}' fits {len(fitting)} groups, not one. They are: {some}{hint}")
    return fitting[0]


def _csv(table: Table) -> str:
    costs = [name for name in COSTS if any(name in row.cost for row in table.rows)]
    return spreadsheet.text(["run", "status", *table.settings, *table.metrics, *costs, "commit"], table.to_dicts())


def _head(folder: SweepFolder, table: Table, groups: Sequence[Group], baseline: Group) -> str:
    """What the tables are about, and what of it they do not count."""
    rows = [[table.rows[k] for k in group.members] for group in groups]
    settings = [key for key in table.settings if key != SEED]
    lines = [{key: show(each[0].settings.get(key, "")) for key in settings} | tally(each) for each in rows]
    commits = sorted({str(row.provenance.get("commit")) for row in table.rows if row.status == "done"})
    return HEAD.format(
        name=folder.path.name,
        counts=count(folder.rows()),
        commits=", ".join(commits),
        baseline=baseline.label,
        tallies=markdown.table(lines),
        left_out="".join(f"\nLeft out: {' '.join(sentence.split())}\n" for sentence in table.left_out),
    )


def _markdown(table: Table, groups: Sequence[Group], baseline: Group) -> str:
    members = {group.label: [table.rows[k] for k in group.members] for group in groups}
    yes_no = verdicts(table)
    means = {label: estimates(rows, yes_no) for label, rows in members.items()}
    settings = [key for key in table.settings if key != SEED]
    parts = [""]
    for metric in (*(m for m in table.metrics if m not in NOMINAL), *COSTS):
        lines = []
        for label, rows in members.items():
            if metric in means[label]:
                first = label == baseline.label
                against = "" if first else _difference(rows, members[baseline.label], metric, yes_no)
                values = {key: show(rows[0].settings.get(key, "")) for key in settings}
                counted = means[label][metric].count
                of = "" if counted == len(rows) else f" of {len(rows)}"
                numbers = {"runs": f"{counted}{of}", "mean": means[label][metric], "difference": against}
                lines.append({"": "baseline" if first else ""} | values | numbers)
        if lines:
            parts.append(f"## {metric}\n\n{markdown.table(lines)}")
    return "\n".join(parts)


def _difference(rows: list[Row], baseline: list[Row], metric: str, verdicts: frozenset[str]) -> str:
    pairs = differences(rows, baseline, metric)
    if not pairs:
        return "no seed in common"
    found = paired(pairs, range(len(pairs)))
    if metric in verdicts:
        return f"{found.mean.value:+.3g}, p {found.p:.2g}{' *' if found.p < 0.05 else ''}"
    estimate = found.mean.within(-quantity(metric).span, quantity(metric).span)
    return f"{estimate:+.3g}" + (" *" if leaves_out_0(estimate) else "")


def leaves_out_0(estimate: Estimate) -> bool:
    return estimate.low > 0 or estimate.high < 0
