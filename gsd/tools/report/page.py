"""A table of runs with all there is to see of them, as one HTML file."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from gsd import __version__
from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.results.groups import Grouping, estimates, groupings, importance, verdicts
from gsd.results.table import COSTS, NOMINAL, Row, Table, read
from gsd.statistics.estimates import Estimate
from gsd.tools.report import curves, media

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "base.js",
    "plot.js",
    "table.js",
    "groups.js",
    "curves.js",
    "turns.js",
    "parallel.js",
    "pictures.js",
    "turntables.js",
    "scene.js",
    "configs.js",
)
CURVES = 200  # runs whose curves are read
BANDS = 40  # groups of a grouping whose curves are drawn
TRACEBACKS = 100  # of as many failed runs
DIGITS = 5  # of numbers in the page
CHOSEN = 8  # runs shown side by side at first
T = TypeVar("T")


def write(folders: Iterable[str | Path], out: Path) -> Path:
    """The report of all runs at or below the folders, in the file `out`, which is returned.

    Raises GsdError for a folder that does not exist or holds no run; damaged runs are left out and named in the page.
    """
    if out.is_dir():
        raise GsdError(f"--out {out} is a folder; give a file, as {out / 'report.html'}.")
    return write_table(read(folders), out)


def write_table(table: Table, out: Path) -> Path:
    """The report of runs that have been read."""
    page = Page(table)
    html = _template().render(
        title=_title(table),
        data=page.data(),
        media=page.media,
        style=_asset("style.css"),
        scripts=[_asset(name) for name in ("vendor/splat.min.js", *SCRIPTS)],
    )
    try:
        RunFolder(out.resolve().parent).write(out.name, html)
    except OSError as error:
        raise GsdError(f"{out} cannot be written: {error.strerror}; give another file with --out.") from error
    return out


class Page:
    """The table as plain data for the page's scripts, and media beside it under the names that the data gives."""

    def __init__(self, table: Table) -> None:
        self.table, self.left_out = table, list(table.left_out)
        self.groupings = groupings(table)
        self.media: dict[str, str] = {}  # name -> base64

    def data(self) -> dict[str, Any]:
        table, spread = self.table, _spread(self.groupings[0], self.table.rows)
        seen = spread[: media.RUNS]
        shared = _shared([row.config for row in table.rows])
        origins = [*{json.dumps(row.provenance): row.provenance for row in table.rows}.values()]
        brief = sum(row.status == "failed" for row in table.rows) > TRACEBACKS
        runs = [_run(row, shared, brief) | {"origin": origins.index(row.provenance)} for row in table.rows]
        for index in seen:
            runs[index] |= self._media(index, len(seen))
        drawn = self._curves(spread[:CURVES])
        for index, curves_of_run in drawn.items():
            runs[index]["curves"] = [_plain_binned(each) for each in curves_of_run]
        for index in spread[:CURVES]:
            runs[index]["turns"] = {name: [_short(v) for v in turn] for name, turn in table.rows[index].turns.items()}
        yes_no = verdicts(table)
        return {
            "made": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            "version": __version__,
            "title": _title(table),
            "settings": table.settings,
            "metrics": table.metrics,
            "nominal": sorted(NOMINAL & set(table.metrics)),
            "verdicts": sorted(yes_no),
            "costs": [name for name in COSTS if any(name in row.cost for row in table.rows)],
            "config": shared,
            "origins": origins,
            "runs": runs,
            "groupings": [self._grouping(each, drawn, yes_no) for each in self.groupings],
            "importance": {m: {k: _short(v) for k, v in each.items()} for m, each in importance(table).items()},
            "chosen": self._chosen(),
            "limits": {"media": len(seen), "curves": len(drawn), "bands": BANDS},
            "left_out": self.left_out,
        }

    def _chosen(self) -> list[int]:
        """The first run that is done of each group; of a report without any, the first runs."""
        rows = self.table.rows
        done = [
            [index for index in group.members if rows[index].status == "done"] for group in self.groupings[0].groups
        ]
        return sorted([each[0] for each in done if each][:CHOSEN]) or [*range(len(rows))][:CHOSEN]

    def _media(self, index: int, runs: int) -> dict[str, Any]:
        """Keep the media of a run, one of `runs`; what of it is there, and under which names."""
        folder, found = self.table.rows[index].path, dict[str, Any]()
        kinds = [kind for kind in ("strips", "frames") if (folder / kind).is_dir()]
        for kind in kinds:
            pictures = self._tried(media.pictures, folder / kind, media.PICTURES // runs // len(kinds)) or []
            found[kind] = [[p.step, self._keep(f"{kind}-{index}-{p.step}", p.file), p.rows] for p in pictures]
        noise = self._tried(media.noise, folder / "strips", media.NOISES // runs) if found.get("strips") else None
        found["noise"] = noise and [noise.step, self._keep(f"noise-{index}", noise.file)]
        if (folder / "turntable.mp4").exists():
            video = self._tried(media.turntable, folder / "turntable.mp4", media.TURNTABLES // runs)
            found["turntable"] = video and self._keep(f"turntable-{index}", video)
        if (folder / "scene.ply").exists():
            scene = self._tried(media.gaussians, folder / "scene.ply", media.SCENES // runs)
            found["scene"] = scene and [self._keep(f"scene-{index}", scene.splat), scene.count, scene.total]
        elif self.table.rows[index].status == "done":
            found["no_scene"] = True
        return {name: what for name, what in found.items() if what}

    def _keep(self, name: str, content: bytes) -> str:
        self.media[name] = base64.b64encode(content).decode()
        return name

    def _tried(self, make: Callable[..., T], *arguments: Any) -> T | None:
        """What it makes, or None and a sentence among what is left out."""
        try:
            return make(*arguments)
        except GsdError as error:
            self.left_out.append(str(error))
            return None

    def _curves(self, indices: Sequence[int]) -> dict[int, list[curves.Binned]]:
        found = {index: self._tried(curves.read, self.table.rows[index].path) or [] for index in indices}
        span = curves.span([each for several in found.values() for each in several])
        return {i: [curves.binned(each, span) for each in several] for i, several in found.items() if several}

    def _grouping(
        self, grouping: Grouping, drawn: dict[int, list[curves.Binned]], yes_no: frozenset[str]
    ) -> dict[str, Any]:
        rows, prompt = self.table.rows, [row.config.get("prompt") for row in self.table.rows]
        groups = []
        for place, group in enumerate(grouping.groups):
            done = [index for index in group.members if rows[index].status == "done"]
            shown = done if place < BANDS else []
            lines = [(each, prompt[index]) for index in shown for each in drawn.get(index, [])]
            bands = curves.bands([each for each, _ in lines], [asked for _, asked in lines])
            for name in dict.fromkeys(name for index in shown for name in rows[index].turns):
                having = [index for index in shown if name in rows[index].turns]
                bands[name] = curves.turns([rows[i].turns[name] for i in having], [prompt[i] for i in having])
            found = estimates([rows[index] for index in done], yes_no)
            groups.append(
                {
                    "label": group.label,
                    "runs": group.members,
                    "done": len(done),
                    "estimates": {name: _plain_estimate(each) for name, each in found.items()},
                    "bands": {name: _plain_band(each) for name, each in bands.items()},
                }
            )
        return {"name": grouping.name, "groups": groups}


def _run(row: Row, shared: dict[str, Any], brief: bool) -> dict[str, Any]:
    """brief: of a traceback the last line only."""
    return {
        "name": row.name,
        "status": row.status,
        "reason": row.reason.rpartition("\n")[2] if brief else row.reason,
        "metrics": {k: _short(v) for k, v in row.metrics.items()},
        "cost": {k: _short(v) for k, v in row.cost.items()},
        "config": {k: v for k, v in row.config.items() if k not in shared},
    }


def _spread(grouping: Grouping, rows: Sequence[Row]) -> list[int]:
    """All runs, the first of each group before the second of any: the head of the list speaks for every group.

    In a group those that are done come first.
    """
    parts = [sorted(group.members, key=lambda index: rows[index].status != "done") for group in grouping.groups]
    return [index for turn in zip_longest(*parts) for index in turn if index is not None]


def _shared(configs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all runs have in common."""
    whole = [config for config in configs if config]
    return {k: v for k, v in whole[0].items() if all(k in c and c[k] == v for c in whole)} if whole else {}


def _title(table: Table) -> str:
    paths = [row.path.resolve() for row in table.rows]
    names = [*dict.fromkeys(path.parent.name for path in paths)] if len(paths) > 1 else [path.name for path in paths]
    title = ", ".join(names[:4]) + (" ..." if len(names) > 4 else "") or "no run could be read"
    return title.encode(errors="replace").decode()  # a file's name may be no text


def _plain_estimate(e: Estimate) -> list[float | None]:
    return [_short(e.value), _short(e.low), _short(e.high), e.count]


def _plain_band(band: curves.Band) -> dict[str, Any]:
    axes = {name: _plain(column) for name, column in band.axes.items()}
    interval = [_plain(band.low), _plain(band.high)] if np.isfinite(band.low).any() else []
    return {"x": axes, "y": [_plain(band.value), *interval]}


def _plain_binned(run: curves.Binned) -> dict[str, Any]:
    return {
        "x": {name: _plain(column) for name, column in run.axes.items()},
        "y": {name: _plain(column) for name, column in run.values.items()},
    }


def _plain(column: Float[np.ndarray, " n"]) -> list[float | None]:
    return [_short(value) for value in column.tolist()]


def _short(value: float) -> float | int | None:
    """As few characters as say it; None for what is no number."""
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short == int(short) else short


def _template() -> Any:
    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html")


def _asset(name: str) -> Markup:
    """A file of ours or of a library, which may be part of the page as it is, but for what would end its element."""
    return Markup((ASSETS / name).read_text(encoding="utf-8").replace("</script", "<\\/script"))
