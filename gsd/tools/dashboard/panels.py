"""The panels of an ablation in the words of wandb-workspaces: pure functions of what a sweep has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr

from gsd.results.quantities import HEADLINE, quantity
from gsd.results.table import SEED
from gsd.tools.dashboard.content import Content, config_key

By = wr.Config | str | None  # what a panel groups runs by: a setting, ALL, or None: as its set of runs is grouped
ALL = "Group"  # of W&B, which all runs of a sweep share
STEP, CALLS, CLOCK = "step", "prior_calls", "RelativeTime(Process)"
MANY_SEEDS = 5  # with fewer, the smallest and the largest value say more than the standard deviation
PANELS = 6  # of the first section
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
    rows: int = 2  # rows of panels in sight

    def __post_init__(self) -> None:
        for panel in self.panels:
            # Else random. W&B keeps what a reader changes of a panel under its id, so an equal panel gets an equal one;
            # a panel's repr leaves out what begins with an underscore.
            panel._id = hashlib.blake2b(f"{self.title} {panel!r}".encode(), digest_size=6).hexdigest()


def headline(content: Content) -> list[Part]:
    """What answers the question of the sweep, at a glance: at most six panels.

    The main metric by each setting comes first, then the next one: a panel groups by one setting.
    """
    others = [name for name in HEADLINE if name in (*content.metrics, *content.costs) and name != "empty"]
    names = list(dict.fromkeys([*content.metrics[:1], *others]))
    bars = [_bars(name, content, by) for name in names for by in groupings(content).values()]
    lines = [
        _line(name, STEP, content, by)  # until a run is done
        for name in (content.evaluations or content.vitals)
        for by in groupings(content).values()
    ]
    films = [_gallery("turntable")] if content.turntable else []
    text = "What the sweep says at a glance; the sections below have every number, curve and picture."
    return _filled(Part("Headline", text, [*(bars or lines)[: PANELS - len(films)], *films]))


def groupings(content: Content) -> dict[str, By]:
    """Groupings by one setting each, the other settings pooled: name -> what a panel is given."""
    return {f"by {name}": setting(name) for name in content.settings} or {"of all runs": ALL}


def grouped(content: Content, title: str, by: By) -> list[Part]:
    """What takes a mean over seeds, and shows how they spread. title: of the grouping, "by noising"."""
    what = f"Mean over the runs of a group with {_AREAS[_area(content)]}"
    training = [name for name in content.vitals if name not in NOISE]
    result = (
        "Mean over the finished runs of a group, with its standard error. Intervals that say how sure a difference is "
        "are in report.html and summary.md in the sweep's folder."
    )
    fair = f"{what}, against the calls of the prior: fair to methods that need more of them per step."

    def lines(names: list[str], x: str) -> list[wr.LinePlot]:
        return [_line(name, x, content, by) for name in names]

    return _filled(
        Part(f"Results {title}", result, [_bars(name, content, by) for name in content.metrics], columns=4),
        Part(f"Curves {title}", f"{what}, of what is measured on the way.", lines(content.evaluations, STEP)),
        Part(f"Curves {title}, against prior calls", fair, lines(content.evaluations or training, CALLS)),
        Part(f"Optimisation {title}", f"{what}, of what every step records.", lines(training, STEP)),
    )


def single(content: Content) -> list[Part]:
    """What is shown run by run, then noise and cost."""
    return _filled(*_media(content), *_settings(content), _noise(content), _cost(content))


def _filled(*parts: Part) -> list[Part]:
    return [part for part in parts if part.panels]


def setting(name: str) -> wr.Config:
    """A setting, as panels name it."""
    return wr.Config(config_key(name))


def _media(content: Content) -> Iterator[Part]:
    def grid(key: str) -> wr.MediaBrowser:
        return wr.MediaBrowser(title=key, media_keys=[key], mode="grid", grid_x_axis="step", grid_y_axis="run")

    text = (
        "pictures/front is the view at azimuth 0; pictures/strip has rgb, depth, noise and gradient, one row per view."
    )
    yield Part("Pictures by step and run", text, [grid(key) for key in content.pictures], columns=1)
    turning = [_gallery("turntable")] if content.turntable else []
    yield Part("Turntables", "Once around, from azimuth 0.", turning, columns=1, rows=1)
    points = [_gallery("points")] if content.points else []
    yield Part("Gaussians in 3D", "Their centres and colours.", points, columns=1, rows=1)
    text = (
        "The curves of the paper's Fig. 12: how similar each view is to 'front view of', 'side view of' and 'back view "
        "of' the prompt, by azimuth. One colour per run, one dash pattern per word."
    )
    yield Part("Views by CLIP", text, [_clip()] if content.clip_view else [], columns=1, rows=1)


def _settings(content: Content) -> Iterator[Part]:
    if content.main and content.settings:
        column = wr.ParallelCoordinatesPlotColumn
        columns = [column(metric=setting(key), display_name=key) for key in (*content.settings, SEED)]
        columns.append(column(metric=wr.SummaryMetric(content.main)))
        lines = wr.ParallelCoordinatesPlot(title=f"settings and {content.main}", columns=columns)
        text = f"Each line is a run, from its settings to {content.main}. Below, how well each setting predicts it."
        importance = wr.ParameterImportancePlot(with_respect_to=content.main)
        yield Part("Settings and metrics", text, [lines, importance], columns=1)
    comparer = [wr.RunComparer(diff_only="split")] if content.runs > 1 else []
    text = "Settings and results of the runs; what is the same in all is left out."
    yield Part("What differs", text, comparer, columns=1, rows=1)


def _noise(content: Content) -> Part:
    """The histogram is of the steps that have a strip."""
    by = groupings(content).get("by noising", next(iter(groupings(content).values())))
    histogram = [wr.LinePlot(title="noise/histogram", x=STEP, y=["noise/histogram"])]
    text = (
        "Every map of a correct noising is N(0, 1), so its standard deviation is 1. W&B draws the histograms of one "
        "run at a time: choose it in the list of runs."
    )
    lines = [_line(name, STEP, content, by) for name in NOISE if name in content.vitals]
    return Part("Noise", text, [*(histogram if "pictures/strip" in content.pictures else []), *lines])


def _cost(content: Content) -> Part:
    text = (
        "Seconds are those of optimisation; peak_memory_mb is the most that the process held, on a GPU the most that "
        "its tensors took. Below, memory over time as W&B measures it."
    )
    bars = [_bars(name, content, by) for by in groupings(content).values() for name in content.costs]
    shown = limit(content.runs)
    memory = [wr.LinePlot(title=k, x=CLOCK, y=[v], max_runs_to_show=shown) for k, v in MEMORY.items()]
    return Part("Cost", text, [*bars, *memory])


def _gallery(key: str) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=key, media_keys=[key], mode="gallery", gallery_axis="run", num_columns=4)


def _bars(metric: str, content: Content, by: By) -> wr.BarPlot:
    most = limit(content.groups)
    return wr.BarPlot(
        title=f"{_named(metric)}{_said(by)}", metrics=[metric], max_bars_to_show=most, **_mean(by, "stderr")
    )


def _line(name: str, x: str, content: Content, by: By) -> wr.LinePlot:
    title, most = f"{_named(name)}{_said(by)}", limit(content.groups)
    return wr.LinePlot(title=title, x=x, y=[name], max_runs_to_show=most, **_mean(by, _area(content)))


def _named(name: str) -> str:
    """As the report calls it; W&B has shares as fractions."""
    found = quantity(name.removeprefix("eval/"))
    return found.title("fraction" if found.unit == "%" else None)


def _mean(by: By, spread: str) -> dict[str, Any]:
    return {"groupby": by, "groupby_aggfunc": "mean", "groupby_rangefunc": spread}


def _said(by: By) -> str:
    return f" by {by.name.removeprefix('config.')}" if isinstance(by, wr.Config) else ""


_AREAS = {"minmax": "the smallest and the largest value", "stddev": "the standard deviation"}


def _area(content: Content) -> str:
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
