"""A table of runs with all there is to see of them, as one HTML file.

All numbers are computed here, in Python. The page's policy forbids every request, and texts are only ever set as text,
so that no prompt can run in it; media have a budget of bytes, so that a page stays below 30 MB whatever the runs hold.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from gsd import __version__
from gsd.errors import GsdError
from gsd.results.best import Comparison, comparison
from gsd.results.folder import RunFolder
from gsd.results.groups import Group, Grouping, estimates, groupings, importance, verdicts
from gsd.results.quantities import QUANTITIES, Quantity
from gsd.results.table import COSTS, NOMINAL, Row, Table, read
from gsd.tools.report import curves, media

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "vendor/splat.min.js", "base.js", "plot.js", "turntables.js", "result.js", "table.js", "groups.js", "curves.js",
    "turns.js", "parallel.js", "pictures.js", "scene.js", "configs.js", "fold.js",
)  # fmt: skip
CURVES = 200  # runs whose curves are read
BANDS = 40  # groups per grouping whose curves are drawn
FEW = 12  # groups that a plot, and the first table, show well
COMPARED = 60  # groups of which the best is looked for
TRACEBACKS = 100  # with more failed runs, only the last lines of their tracebacks are shown
DIGITS = 5  # of numbers in the page
CHOSEN = 8  # runs shown side by side at first
T = TypeVar("T")


def write(folders: Iterable[str | Path], out: Path) -> Path:
    """The report of all runs at or below the folders, in the file `out`, which is returned.

    Raises GsdError for a folder that does not exist or holds no run; damaged runs are left out and named in the page.
    """
    return write_table(read(folders), out)


def write_table(table: Table, out: Path) -> Path:
    """The report of runs that have been read. Raises GsdError where `out` cannot be written."""
    if out.is_dir():
        raise GsdError(f"--out {out} is a folder; give a file, as {out / 'report.html'}.")
    page = Page(table)
    html = _template().render(
        title=_title(table),
        data=page.data(),
        media=page.media,
        style=_asset("style.css"),
        scripts=[_asset(name) for name in SCRIPTS],
    )
    try:
        RunFolder(out.absolute().parent).write(out.name, html)
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
        shared = _shared([row.config for row in table.rows])
        origins = [*{json.dumps(row.provenance): row.provenance for row in table.rows}.values()]
        brief = sum(row.status == "failed" for row in table.rows) > TRACEBACKS
        runs = [_run(row, shared, brief) | {"origin": origins.index(row.provenance)} for row in table.rows]
        seen = spread[: media.RUNS]
        for index in seen:
            runs[index] |= self._media(index, len(seen))
        drawn = self._curves(spread[:CURVES])
        for index, several in drawn.items():
            runs[index]["curves"] = [{"x": _plain(each.axes), "y": _plain(each.values)} for each in several]
        for index in spread[:CURVES]:
            runs[index]["turns"] = _plain(table.rows[index].turns)
        yes_no = verdicts(table)
        return {
            "made": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            "version": __version__,
            "title": _title(table),
            "settings": table.settings,
            "metrics": table.metrics,
            "headline": table.headline,
            "quantities": {name: _words(each) for name, each in QUANTITIES.items()},
            "nominal": sorted(NOMINAL & set(table.metrics)),
            "verdicts": sorted(yes_no),
            "costs": [name for name in COSTS if any(name in row.cost for row in table.rows)],
            "config": shared,
            "origins": origins,
            "runs": runs,
            "groupings": [self._grouping(each, drawn, yes_no) for each in self.groupings],
            "importance": _plain(importance(table)),
            "grouping": self._first(),
            "chosen": self._chosen(),
            "limits": {"media": len(seen), "curves": len(drawn), "bands": BANDS},
            "left_out": self.left_out,
        }

    def _first(self) -> int:
        """The grouping that answers the question of the sweep: prompts are pooled, and there are groups to compare."""
        few = [k for k, each in enumerate(self.groupings) if len(each.groups) <= FEW]
        asked = [k for k in few if "prompt" not in self.groupings[k].keys and len(self.groupings[k].groups) > 1]
        return next(iter(asked or few), 0)

    def _chosen(self) -> list[int]:
        """The first run that is done of each group; in a report without any, the first runs."""
        done = [self._done(group) for group in self.groupings[0].groups]
        return sorted([each[0] for each in done if each][:CHOSEN]) or [*range(len(self.table.rows))][:CHOSEN]

    def _done(self, group: Group) -> list[int]:
        return [index for index in group.members if self.table.rows[index].status == "done"]

    def _media(self, index: int, runs: int) -> dict[str, Any]:
        """Keep the media of a run, one of `runs`; what of it is there, and under which names."""
        folder, found = self.table.rows[index].path, dict[str, Any]()
        kinds = [kind for kind in ("strips", "frames") if (folder / kind).is_dir()]
        for kind in kinds:
            pictures = self._tried(media.pictures, folder / kind, media.PICTURES // runs // len(kinds)) or []
            found[kind] = [[p.step, self._keep(f"{kind}-{index}-{p.step}", p.file), p.rows] for p in pictures]
        noise = self._tried(media.noise, folder / "strips", media.NOISES // runs) if found.get("strips") else None
        found["noise"] = noise and [noise.step, self._keep(f"noise-{index}", noise.file)]
        films = [name for name in ("turntable", "turntable_dark") if (folder / f"{name}.mp4").exists()]
        for name in films:
            video = self._tried(media.turntable, folder / f"{name}.mp4", media.TURNTABLES // runs // len(films))
            found[name] = video and self._keep(f"{name}-{index}", video)
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

    def _curves(self, indices: Sequence[int]) -> dict[int, list[curves.Curves]]:
        found = {index: self._tried(curves.read, self.table.rows[index].path) or [] for index in indices}
        span = curves.span([each for several in found.values() for each in several])
        return {i: [curves.thinned(each, span) for each in several] for i, several in found.items() if several}

    def _grouping(
        self, grouping: Grouping, drawn: dict[int, list[curves.Curves]], yes_no: frozenset[str]
    ) -> dict[str, Any]:
        rows, prompt = self.table.rows, [row.config.get("prompt") for row in self.table.rows]
        groups = []
        for place, group in enumerate(grouping.groups):
            done = self._done(group)
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
                    "estimates": {k: [*_plain([e.value, e.low, e.high]), e.count] for k, e in found.items()},
                    "bands": {name: _plain_band(each) for name, each in bands.items()},
                }
            )
        names = self.table.headline if len(groups) <= COMPARED else []
        compared = {name: comparison(self.table, grouping, name) for name in names if name not in yes_no}
        return {
            "name": grouping.name,
            "keys": grouping.keys,
            "groups": groups,
            "compared": {name: _compared(each) for name, each in compared.items() if each},
        }


def _run(row: Row, shared: dict[str, Any], brief: bool) -> dict[str, Any]:
    """brief: of a traceback the last line only."""
    return {
        "name": row.name,
        "status": row.status,
        "refused": row.refused,
        "numberless": row.numberless,
        "reason": row.reason.rpartition("\n")[2] if brief else row.reason,
        "verdict": row.verdict,
        "metrics": _plain(row.metrics),
        "cost": _plain(row.cost),
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


def _words(quantity: Quantity) -> dict[str, Any]:
    names = ("label", "unit", "better", "factor", "decimals")
    return {"title": quantity.title()} | {name: getattr(quantity, name) for name in names}


def _compared(found: Comparison) -> dict[str, Any]:
    differences = [each and [*_plain([each.value, each.low, each.high]), each.count] for each in found.differences]
    return {"best": found.best, "differences": differences}


def _plain_band(band: curves.Band) -> dict[str, Any]:
    interval = [band.low, band.high] if np.isfinite(band.low).any() else []
    return {"x": _plain(band.axes), "y": _plain([band.value, *interval])}


def _plain(value: Any) -> Any:
    """Numbers in few characters, and null for nan and infinity, within dicts, lists and arrays."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | np.ndarray):
        return [_plain(each) for each in (value if isinstance(value, list) else value.tolist())]
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
