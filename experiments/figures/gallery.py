"""Pictures of several methods on several prompts, as in Fig. 6, 7, 8 and 10 of the paper, and what was measured."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import plots
import sweeps
from pairs import difference
from PIL import Image

from gsd.errors import GsdError
from gsd.results import markdown
from gsd.results.runs import Run
from gsd.statistics.estimates import Estimate, averaged, mean, units
from gsd.statistics.proportions import share

VIEWS = (0.0, 90.0, 180.0, 270.0)  # degrees from the front
FEWEST = 6  # units of which p can be below .05: with five, all of one sign, it is 2 / 2**5
MEASURED = {  # title and range
    "psnr_aligned": ("PSNR dB", (0, np.inf)),
    "view_error_deg": ("view error", (0, 180)),
    "face_fraction": ("face share", (0, 1)),
    "janus": ("Janus", (0, 1)),
}
Chosen = dict[tuple[str, str], list[Run]]  # (method, prompt) -> its runs by seed


@dataclass(frozen=True)
class Gallery:
    """A figure: `methods` by name, as command-line settings; four views of each, nearest of the eight in views/.

    against: method -> the method it is compared with, by default the first; a method is not compared with itself.
    """

    name: str
    title: str
    methods: dict[str, str]
    prompts: Sequence[str] = ("a full body of a cat with a hat", "an owl", "a corgi")
    common: Sequence[str] = ()  # settings of all methods
    seeds: int = 1
    first_seed: int = 0
    against: Mapping[str, str] = field(default_factory=dict)

    def baseline(self, method: str) -> str:
        return self.against.get(method, next(iter(self.methods)))


def parser(
    doc: str | None, gallery: Gallery, setups: Mapping[str, Gallery] = MappingProxyType({})
) -> argparse.ArgumentParser:
    """The options of a figure that compares methods on prompts and seeds, in one set-up or, by --setup, in another."""
    options, prompts = sweeps.parser(doc, gallery.name), ", ".join(gallery.prompts)
    options.add_argument("--prompt", dest="prompts", action="append", help=f"may be given several times ({prompts})")
    options.add_argument(
        "--seeds", type=int, help=f"per method and prompt; the first is shown ({gallery.seeds}, or the set-up's number)"
    )
    options.set_defaults(setup=None)
    if setups:
        options.add_argument("--setup", choices=list(setups), help=f"in place of {gallery.name}'s own")
    return options


def setup(args: argparse.Namespace, gallery: Gallery, setups: Mapping[str, Gallery]) -> Gallery:
    """The set-up that was asked for, whose name stands in that of the folders unless these were given."""
    if args.setup is None:
        return gallery
    found = setups[args.setup]
    args.name = found.name if args.name == gallery.name else args.name
    args.out = Path("outputs") / found.name if args.out == Path("outputs") / gallery.name else args.out
    return found


def main(gallery: Gallery, doc: str | None, setups: Mapping[str, Gallery] = MappingProxyType({})) -> None:
    sweeps.start(parser(doc, gallery, setups), lambda args: _main(setup(args, gallery, setups), args))


def _main(gallery: Gallery, args: argparse.Namespace) -> None:
    chosen = find(gallery, args)
    methods = {name: [r for (m, _), runs in chosen.items() if m == name for r in runs] for name in gallery.methods}
    rows = [row(name, runs, gallery.baseline(name), methods[gallery.baseline(name)]) for name, runs in methods.items()]
    filled = [
        key for key in rows[0] if any(each[key] for each in rows)
    ]  # without p of few units, and what was not measured
    each = [
        {"method": method, "prompt": prompt, "run": str(run.path), **measured(run)}
        for (method, prompt), runs in chosen.items()
        for run in runs
    ]
    table = markdown.table([{key: each[key] for key in filled} for each in rows])
    sweeps.publish(args.out, draw(gallery, chosen), each, table)


def find(gallery: Gallery, args: argparse.Namespace) -> Chosen:
    """The runs of a figure; with --run, those that are missing are launched first."""
    prompts = args.prompts or list(gallery.prompts)
    if args.run:
        launch(gallery, prompts, args)
    return select(sweeps.runs_of(args.name), gallery, prompts, args.overrides)


def launch(gallery: Gallery, prompts: Sequence[str], args: argparse.Namespace) -> None:
    """Every method on every prompt and seed. A typed setting replaces the one in `common`, and those below its key."""
    typed = sweeps.typed(args.overrides).keys()
    common = [item for item in gallery.common if not _parts(item) & typed]
    for method in gallery.methods.values():
        swept = f"prompt={','.join(quoted(p) for p in prompts)}"
        seeds = range(gallery.first_seed, gallery.first_seed + (args.seeds or gallery.seeds))
        sweeps.launch(args.name, [*method.split(), *common, *args.overrides, swept], seeds, args.jobs)


def _parts(item: str) -> set[str]:
    """The key of a setting and all keys above it: prior.view_bias=4 means nothing to another prior."""
    keys = item.split("=", 1)[0].split(".")
    return {".".join(keys[: count + 1]) for count in range(len(keys))}


def quoted(prompt: str) -> str:
    """As Hydra reads it inside a list of choices."""
    return '"' + prompt.replace("\\", "\\\\").replace('"', '\\"') + '"'


def select(runs: Sequence[Run], gallery: Gallery, prompts: Sequence[str], overrides: Sequence[str] = ()) -> Chosen:
    """The runs that were made with these overrides.

    A run belongs to the method of which it has most settings. Raises GsdError for a method and prompt without a run, or
    with two runs of the same seed.
    """
    typed = sweeps.typed(overrides)
    chosen: Chosen = {(m, p): [] for m in gallery.methods for p in prompts}
    for run in sorted(runs, key=lambda r: r.summary["seed"]):
        had = run.typed.items()
        fitting = [m for m, text in gallery.methods.items() if sweeps.typed(text.split()).items() <= had]
        if fitting and run.summary["prompt"] in prompts and typed.items() <= had:
            method = max(fitting, key=lambda m: len(gallery.methods[m].split()))
            chosen[method, run.summary["prompt"]].append(run)
    for (method, prompt), found in chosen.items():
        if not found:
            raise GsdError(f"There is no run of {method} for {prompt!r}; add --run to launch what is missing.")
        for one, other in pairwise(found):
            if one.summary["seed"] == other.summary["seed"]:
                raise GsdError(
                    f"{one.path} and {other.path} are both {method} for {prompt!r} with seed {one.summary['seed']}; "
                    "add the settings in which they differ, or give one set a folder of its own by --name."
                )
    return chosen


def measured(run: Run) -> dict[str, Any]:
    return {key: run.summary[key] for key in (*MEASURED, "prior_calls", "seconds") if key in run.summary}


def row(method: str, runs: Sequence[Run], other: str, baseline: Sequence[Run]) -> dict[str, Any]:
    """A row of the table: means over prompts, each the mean of its seeds, and the difference to the method `other`.

    Intervals and p are over prompts, or over the seeds of a single one, and cut at what is possible. There is no
    interval of fewer than three, and no p of fewer than FEWEST: it could not be below .05, however large and sure the
    difference is, and would be read as "no difference". The difference is that of pairs with the same prompt and seed.
    """
    cells: dict[str, Any] = {"method": method, "runs": len(runs)}
    for key, (title, limits) in MEASURED.items():
        having = [r for r in runs if key in r.summary]
        values, prompts = [r.summary[key] for r in having], [r.summary["prompt"] for r in having]
        cells[title] = str(average(values, prompts, limits)) if values else ""
    calls = [r.summary["prior_calls"] for r in runs]
    cells |= {"prior calls": f"{sum(calls) / len(calls):.0f}", "compared with": "", "PSNR difference": "", "p": ""}
    mine, theirs = _psnr(runs), _psnr(baseline)
    found = difference(mine, theirs) if other != method else None
    if found:
        count = max(units([prompt for prompt, _ in mine.keys() & theirs.keys()])) + 1
        cells |= {"compared with": other, "PSNR difference": str(found.mean)}
        cells["p"] = f"{found.p:.2g}" if count >= FEWEST else ""
    return cells


def _psnr(runs: Sequence[Run]) -> dict[tuple[str, int], float]:
    found = {(r.summary["prompt"], r.summary["seed"]): r.summary.get("psnr_aligned") for r in runs}
    return {key: value for key, value in sorted(found.items()) if value is not None}


def average(values: Sequence[float], prompts: Sequence[str], limits: tuple[float, float]) -> Estimate:
    if set(values) <= {0, 1}:  # verdicts
        return share(values, prompts)
    return mean(averaged(np.array(values)[:, None], prompts).ravel().tolist()).within(*limits)


def picture(run: Run, azimuth: float, kind: str = "rgb") -> Image.Image:
    """The run's turntable picture nearest to an azimuth, counted from the front that metric=truth found, if it did.

    kind: rgb, depth or alpha.
    """
    files = {int(file.stem.split("_")[0]): file for file in (run.path / "views").glob(f"*_{kind}.png")}
    if not files:
        raise GsdError(f"{run.path} has no pictures in views/; delete its DONE and repeat its command.")
    count = run.config["turntable"]["views"]
    azimuth -= run.summary.get("yaw_deg", 0.0)
    nearest = min(files, key=lambda view: abs((360 * view / count - azimuth + 180) % 360 - 180))
    return Image.open(files[nearest])


def window(runs: Sequence[Run]) -> plots.Window:
    """The square around everything that the pictures of all runs show."""
    alphas = (picture(run, azimuth, "alpha").convert("L") for run in runs for azimuth in VIEWS)
    return plots.window(np.asarray(alpha) / 255 for alpha in alphas)


def cropped(image: Image.Image, box: plots.Window) -> Image.Image:
    left, top, right, bottom = (round(share * image.width) for share in box)
    return image.crop((left, top, right, bottom))


def draw(gallery: Gallery, chosen: Chosen) -> Any:
    """Rows are prompts and a block of four views is a method, or the other way round where that makes fewer blocks."""
    methods, prompts = (list(dict.fromkeys(key[k] for key in chosen)) for k in (0, 1))
    turned = len(methods) > len(prompts)
    lines, blocks = (methods, prompts) if turned else (prompts, methods)
    width, height = len(VIEWS) * len(blocks) + 1.3, len(lines) + 0.6
    figure = plots.figure(width, height, layout=None)
    box = window([runs[0] for runs in chosen.values()])
    place = {"left": 1.25 / width, "right": 0.995, "top": 1 - 0.5 / height, "bottom": 0.01}
    outer = figure.add_gridspec(len(lines), len(blocks), **place, wspace=0.03, hspace=0.04)
    for i, line in enumerate(lines):
        for j, block in enumerate(blocks):
            run = chosen[(line, block) if turned else (block, line)][0]
            inner = outer[i, j].subgridspec(1, len(VIEWS), wspace=0.0)
            for k, azimuth in enumerate(VIEWS):
                title = textwrap.shorten(block, 48) if i == 0 and k == 0 else ""
                label = textwrap.fill(line, 16) if j == 0 and k == 0 else ""
                plots.show(figure.add_subplot(inner[k]), cropped(picture(run, azimuth), box), title, label, "left")
    figure.suptitle(gallery.title, fontsize=10, y=1 - 0.05 / height)
    return figure
