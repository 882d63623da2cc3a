"""The panels of an ablation in the words of wandb-workspaces: pure functions of what a sweep has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import wandb_workspaces.reports.v2 as wr

from gsd.results.table import SEED
from gsd.tools.dashboard.content import Content, config_key

By = wr.Config | str | None  # what a panel groups runs by: a setting, ALL, or None: as its set of runs is grouped
ALL = "Group"  # of W&B, which all runs of a sweep share
STEP, CALLS, CLOCK = "step", "prior_calls", "RelativeTime(Process)"
MANY_SEEDS = 5  # of fewer, the standard deviation says less than the least and the greatest
FEW, MOST = 10, 100  # lines of a plot: W&B's default, and what can still be told apart
NOISE = ("noise/std", "sigma")
# Of the table that gsd.logger leaves of metric=clip_view; "NAME_table" is W&B's for a chart that is logged as NAME.
CLIP_TABLE, CLIP_FIELDS = "clip_view_table", {"step": "azimuth", "lineKey": "view", "lineVal": "similarity"}
MEMORY = {"GPU memory, bytes": "system/gpu.0.memoryAllocatedBytes", "memory, MB": "system/proc.memory.rssMB"}


@dataclass(frozen=True)
class Part:
    """Panels that belong together: a section of the workspace, a chapter of the report."""

    title: str
    text: str  # what they show
    panels: list[Any]
    columns: int = 3  # panels side by side
    rows: int = 2  # of them in sight

    def __post_init__(self) -> None:
        for panel in self.panels:
            # Else random. W&B keeps what a reader changes of a panel under its id, so an equal panel gets an equal one;
            # a panel's repr leaves out what begins with an underscore.
            panel._id = hashlib.blake2b(f"{self.title} {panel!r}".encode(), digest_size=6).hexdigest()


def groupings(content: Content) -> dict[str, By]:
    """By one setting each, the others pooled, as one panel can: its name -> what the panel is given."""
    return {f"by {name}": setting(name) for name in content.settings} or {"of all runs": ALL}


def grouped(content: Content, title: str, by: By) -> list[Part]:
    """What takes a mean over seeds, and shows how they spread. title: of the grouping, "by noising"."""
    what = f"Mean over the runs of a group with {_AREAS[_area(content)]}"
    training = [name for name in content.vitals if name not in NOISE]
    parts = [
        Part(
            f"Results {title}",
            "Mean over the runs of a group that are done, with its standard error. Intervals that say how sure a "
            "difference is are in report.html and summary.md of the sweep's folder.",
            [_bars(name, content, by) for name in content.metrics],
            columns=4,
        ),
        Part(
            f"Curves {title}",
            f"{what}, of what is measured on the way.",
            [_line(name, STEP, content, by) for name in content.evaluations],
        ),
        Part(
            f"Curves {title}, against prior calls",
            f"{what}, against what was asked of the prior: fair to methods that ask more of it in a step.",
            [_line(name, CALLS, content, by) for name in content.evaluations or training],
        ),
        Part(
            f"Optimisation {title}",
            f"{what}, of what every step records.",
            [_line(name, STEP, content, by) for name in training],
        ),
    ]
    return [part for part in parts if part.panels]


def single(content: Content) -> list[Part]:
    """What is shown run by run, then noise and cost."""
    parts = [*_media(content), *_settings(content), _noise(content), _cost(content)]
    return [part for part in parts if part.panels]


def setting(name: str) -> wr.Config:
    """A setting, as panels name it."""
    return wr.Config(config_key(name))


def _media(content: Content) -> Iterator[Part]:
    yield Part(
        "Pictures by step and run",
        "pictures/front is the view at azimuth 0; pictures/strip has rgb, depth, noise and gradient, a row each view.",
        [
            wr.MediaBrowser(title=key, media_keys=[key], mode="grid", grid_x_axis="step", grid_y_axis="run")
            for key in content.pictures
        ],
        columns=1,
    )
    scenes = {
        "turntable": ("Turntables", "Once around, from azimuth 0.", content.turntable),
        "points": ("Gaussians in 3D", "Their centres and colours.", content.points),
    }
    for key, (title, text, there) in scenes.items():
        gallery = wr.MediaBrowser(title=key, media_keys=[key], mode="gallery", gallery_axis="run", num_columns=4)
        yield Part(title, text, [gallery] if there else [], columns=1, rows=1)
    yield Part(
        "Views by CLIP",
        "The curves of the paper's Fig. 12: how near each view is to 'front view of', 'side view of' and 'back view "
        "of' the prompt, by azimuth. A colour for each run, a dash for each word.",
        [_clip()] if content.clip_view else [],
        columns=1,
        rows=1,
    )


def _settings(content: Content) -> Iterator[Part]:
    if content.main and content.settings:
        columns = [
            wr.ParallelCoordinatesPlotColumn(metric=setting(k), display_name=k) for k in (*content.settings, SEED)
        ]
        outcome = wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(content.main))
        yield Part(
            "Settings and metrics",
            f"Each line is a run, from its settings to {content.main}. Below, how well each setting foretells it.",
            [
                wr.ParallelCoordinatesPlot(title=f"settings and {content.main}", columns=[*columns, outcome]),
                wr.ParameterImportancePlot(with_respect_to=content.main),
            ],
            columns=1,
        )
    yield Part(
        "What differs",
        "Settings and results of the runs; what is the same in all is left out.",
        [wr.RunComparer(diff_only="split")] if content.runs > 1 else [],
        columns=1,
        rows=1,
    )


def _noise(content: Content) -> Part:
    """The histogram is of the steps that have a strip."""
    by = groupings(content).get("by noising", next(iter(groupings(content).values())))
    histogram = [wr.LinePlot(title="noise/histogram", x=STEP, y=["noise/histogram"])]
    return Part(
        "Noise",
        "Every map of a right noising is N(0, 1), so its standard deviation is 1. W&B draws histograms of one run at a "
        "time: choose it in the list of runs.",
        [
            *(histogram if "pictures/strip" in content.pictures else []),
            *(_line(name, STEP, content, by) for name in NOISE if name in content.vitals),
        ],
    )


def _cost(content: Content) -> Part:
    return Part(
        "Cost",
        "Seconds are those of optimisation; peak_memory_mb is the most that the process held. Below, memory over time "
        "as W&B measures it.",
        [
            *(_bars(name, content, by) for by in groupings(content).values() for name in content.costs),
            *(wr.LinePlot(title=k, x=CLOCK, y=[v], max_runs_to_show=limit(content.runs)) for k, v in MEMORY.items()),
        ],
    )


def _bars(metric: str, content: Content, by: By) -> wr.BarPlot:
    return wr.BarPlot(
        title=f"{metric}{_said(by)}",
        metrics=[metric],
        groupby=by,
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        max_bars_to_show=limit(content.groups),
    )


def _line(quantity: str, x: str, content: Content, by: By) -> wr.LinePlot:
    return wr.LinePlot(
        title=f"{quantity}{_said(by)}",
        x=x,
        y=[quantity],
        groupby=by,
        groupby_aggfunc="mean",
        groupby_rangefunc=_area(content),
        max_runs_to_show=limit(content.groups),
    )


def _said(by: By) -> str:
    return f" by {by.name.removeprefix('config.')}" if isinstance(by, wr.Config) else ""


_AREAS = {"minmax": "the least and the greatest", "stddev": "the standard deviation"}


def _area(content: Content) -> Literal["minmax", "stddev"]:
    return "minmax" if content.seeds < MANY_SEEDS else "stddev"


def limit(count: int) -> int:
    """How many runs or groups a plot shows."""
    return min(max(count, FEW), MOST)


def _clip() -> wr.CustomChart:
    fields = {"id": None, "name": None, "_defaultColorIndex": None}  # of a run, which the chart's colours need
    return wr.CustomChart(
        query={**fields, "summaryTable": {"tableKey": CLIP_TABLE}},
        chart_name="wandb/lineseries/v0",
        chart_fields=CLIP_FIELDS,
        chart_strings={"title": "views by CLIP", "xname": "azimuth, degrees"},
    )
