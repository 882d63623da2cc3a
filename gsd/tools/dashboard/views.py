"""The workspace and the report of a sweep, and the specification of both that W&B is sent."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from unicodedata import category

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from gsd.tools.dashboard.content import Content, config_key
from gsd.tools.dashboard.panels import STEP, Part, grouped, groupings, headline, limit, single

WIDTH, HEIGHT, TALL = 24, 8, 16  # of a report's grid: all columns, and rows of a plot and of what needs the whole width
LONGEST = 128  # characters of a title that W&B takes


def title(content: Content) -> str:
    """The report is found by it."""
    return f"gsd: {content.name}"[:LONGEST]


def slug(content: Content) -> str:
    """The workspace is found by it: a part of its address, the same whenever it is made."""
    return hashlib.blake2b(content.name.encode(), digest_size=6).hexdigest()[:11]


def workspace(content: Content, entity: str, project: str) -> ws.Workspace:
    """A saved view of the project: the runs of the sweep, ungrouped; panels group them, by one setting each.

    Only its first section is open, the headline.
    """
    means = [part for name, by in groupings(content).items() for part in grouped(content, name, by)]
    parts = [*headline(content), *means, *single(content)]
    made = ws.Workspace(
        entity=entity,
        project=project,
        name="".join("-" if category(c)[0] == "S" else c for c in title(content)),  # the library takes no symbols
        sections=[_section(part, first=part is parts[0]) for part in parts],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=limit(content.runs)),
        runset_settings=ws.RunsetSettings(
            filters=_of_the_sweep(content),
            order=[ws.Ordering(ws.Metric("Name"))],
            pinned_columns=["run:displayName", *(f"summary:{metric}" for metric in content.metrics[:1])],
        ),
    )
    made._internal_name = f"nw-{slug(content)}-v"  # else random, and another view each time
    return made


def report(content: Content, entity: str, project: str) -> wr.Report:
    """A chapter for each part; where several settings are swept, their combinations are the groups."""
    parts = grouped(content, f"by {', '.join(content.settings)}" if content.settings else "of all runs", None)
    by = [f"config.{config_key(key)}" for key in content.settings] or ["run.group"]
    chapters = [_chapter(content, part, by) for part in parts] + [_chapter(content, p, []) for p in single(content)]
    return wr.Report(
        entity=entity,
        project=project,
        title=title(content),
        description=f"{content.counts}. {_swept(content)}",
        width="fluid",
        blocks=[wr.P(_about(content)), wr.TableOfContents(), *(block for blocks in chapters for block in blocks)],
    )


def spec(workspace: ws.Workspace, report: wr.Report) -> dict[str, Any]:
    """What is sent for both, as plain data: W&B's own variables, with its specification of the panels."""
    view, page = workspace._to_model(), report._to_model()
    names = {"entityName": view.entity or None, "projectName": view.project}
    return {
        "workspace": {**names, "name": view.name, "displayName": view.display_name, "spec": _plain(view.spec)},
        "report": {
            **names,
            "displayName": page.display_name,
            "description": page.description,
            "spec": _plain(page.spec),
        },
    }


def _plain(model: Any) -> Any:
    return json.loads(model.model_dump_json(by_alias=True, exclude_none=True))


def _section(part: Part, first: bool) -> ws.Section:
    return ws.Section(
        name=part.title,
        panels=part.panels,
        is_open=first,
        layout_settings=ws.SectionLayoutSettings(columns=part.columns, rows=part.rows),
        panel_settings=ws.SectionPanelSettings(x_axis=STEP),
    )


def _chapter(content: Content, part: Part, by: list[str]) -> list[Any]:
    """by: what its runs are grouped by. A set of runs without a project takes the report's; to name one, W&B would have
    to be asked for its number.
    """
    order = [wr.OrderBy("Name", ascending=True)]
    runs = wr.Runset(name=content.name, filters=_of_the_sweep(content), groupby=by, order=order)
    runs._id = hashlib.blake2b(f"runs of {part.title}".encode(), digest_size=6).hexdigest()
    width, height = WIDTH // part.columns, TALL if part.columns == 1 else HEIGHT
    for k, panel in enumerate(part.panels):
        panel.layout = wr.Layout(k % part.columns * width, k // part.columns * height, width, height)
    return [wr.H1(part.title), wr.P(part.text), wr.PanelGrid(runsets=[runs], panels=part.panels)]


def _of_the_sweep(content: Content) -> str:
    """A filter. The library replaces signs such as = in it and parses it as Python, so the name is escaped."""
    escaped = "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in content.name)
    return f"Metric('Group') == '{escaped}'"


def _swept(content: Content) -> str:
    return f"Swept: {', '.join(content.settings)}." if content.settings else "Only the seed differs."


def _about(content: Content) -> str:
    commits = f" Commit {', '.join(content.commits)}." if content.commits else ""
    return (
        f"{content.counts}. {_swept(content)}{commits} Made by gsd dashboard; the same command brings it up to date "
        "and replaces what was changed by hand. report.html in the sweep's folder shows the same without W&B, with "
        "intervals."
    )
