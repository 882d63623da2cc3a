"""Fig. 9 of the paper: how fast does a scene form, as usual and with GSD?

    python experiments/fig9_convergence.py --run --jobs 2   # minutes, on the menagerie
    python experiments/fig9_convergence.py --run prior=stable_diffusion metric=none camera.resolution=256

Above, the front of the first prompt and seed at equal prior calls; below, what the runs measured on the way
(evaluate_every), against prior calls. Runs of one seed share start, cameras and noise levels, so methods are compared
with the first one pair by pair. Means are over prompts, then over seeds; bands and intervals are Student's at 95 % over
the seeds, so they say nothing of other prompts. p flips signs within pairs and is adjusted (Holm) over the table.

A run has reached a quality when it is as good and stays so. One that never does counts in the share and, in the mean of
calls, with its whole budget (a restricted mean), so that none is dropped. The gradient cosine is that of single steps;
here it is a mean over the last --smooth prior calls.

What runs lack is left out: without the menagerie's truth there are the pictures and the gradient cosine.
Writes figure.png, figure.pdf, table.md and result.json.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gallery
import janus
import numpy as np
import sweeps
from jaxtyping import Float
from PIL import Image

from gsd.cli import guarded
from gsd.errors import GsdError
from gsd.runs import Run, calls_to_threshold
from gsd.statistics import Estimate, band, holm, mean, paired_p, rate

FIGURE = gallery.Gallery(
    name="fig9",
    title="Convergence",
    methods=janus.CELLS,
    prompts=("a full body of a cat with a hat", "a cute meercat"),
    common=("evaluate_every=25", "images_every=0", "turntable.views=60", "turntable.resolution=128"),
    seeds=5,
)
THRESHOLDS = (25.0, 22.0, 28.0)  # dB; the first is drawn
PICTURES = 9  # of a run
QUANTITIES = {
    "psnr_aligned": "aligned PSNR (dB)",
    "view_error_deg": "view error (degrees)",
    "face_fraction": "share of views with a face",
    "gradient_cosine": "gradient cosine of two views",
}
SMALLER_IS_BETTER = frozenset({"view_error_deg", "gmsd_aligned", "depth_error", "chamfer"})
COLOURS, STYLES = ("0.25", "#0072b2", "#e69f00", "#c0392b"), ("-", "-", (0, (4, 2)), "-")

Key = tuple[str, str, int]  # method, prompt, seed


@dataclass(frozen=True)
class Study:
    """Runs of every method on the same prompts and seeds, and what they measured on their way."""

    methods: list[str]
    prompts: list[str]
    seeds: list[int]
    runs: dict[Key, Run]
    histories: dict[Key, list[dict[str, Any]]]

    @property
    def budget(self) -> int:
        """Prior calls that every run has had."""
        return min(history[-1]["prior_calls"] for history in self.histories.values())

    def prompts_with(self, quantity: str) -> list[str]:
        """On which every run has measured it."""
        lacking = {key[1] for key, found in self.histories.items() if not any(quantity in r for r in found)}
        return [prompt for prompt in self.prompts if prompt not in lacking]


@dataclass(frozen=True)
class Curve:
    """A quantity by prior calls: the mean over prompts and seeds, and its interval over seeds."""

    calls: Float[np.ndarray, " G"]
    value: Float[np.ndarray, " G"]
    low: Float[np.ndarray, " G"]
    high: Float[np.ndarray, " G"]


def main() -> None:
    options = sweeps.parser(__doc__, FIGURE.name)
    options.add_argument("--prompts", nargs="+", default=list(FIGURE.prompts))
    options.add_argument("--seeds", type=int, default=FIGURE.seeds, help=f"of a method and prompt ({FIGURE.seeds})")
    options.add_argument("--quality", default="psnr_aligned", metavar="KEY", help="of evaluations.jsonl (psnr_aligned)")
    options.add_argument("--threshold", type=float, nargs="+", default=list(THRESHOLDS), help="the first is drawn")
    options.add_argument("--smooth", type=int, default=200, metavar="CALLS", help="for the gradient cosine (200)")
    args = options.parse_args()
    guarded(lambda: _main(args))


def _main(args: argparse.Namespace) -> None:
    if args.run:
        gallery.launch(FIGURE, args)
    study = gather(gallery.select(sweeps.runs_of(args.name), FIGURE, args.prompts, args.overrides))
    shown = {args.quality: args.quality, **QUANTITIES}
    curves = {
        quantity: {
            m: curve(study, m, quantity, args.smooth if quantity == "gradient_cosine" else 0) for m in study.methods
        }
        for quantity in shown
        if study.prompts_with(quantity)
    }
    reached = {t: calls(study, args.quality, t) for t in args.threshold} if args.quality in curves else {}
    rows = table(reached, study.budget)
    sweeps.write(
        args.out, "table.md", sweeps.as_table(rows) or f"No prompt on which all runs measured {args.quality}.\n"
    )
    sweeps.write(args.out, "result.json", as_data(study, curves, reached, rows))
    draw(study, curves, args.quality, reached, args.out)
    print((args.out / "table.md").read_text(), f"\n{args.out}/figure.png, figure.pdf, result.json, table.md", sep="")


def gather(chosen: dict[tuple[str, str], list[Run]]) -> Study:
    """The runs of seeds that every method has on every prompt. Raises GsdError where a run measured nothing."""
    by_seed = {pair: {run.summary["seed"]: run for run in runs} for pair, runs in chosen.items()}
    seeds = sorted(set.intersection(*(set(runs) for runs in by_seed.values())))
    others = sorted(set.union(*(set(runs) for runs in by_seed.values())) - set(seeds))
    if not seeds:
        raise GsdError("No seed was run with every method on every prompt; add --run to launch what is missing.")
    if others:
        print(
            f"Seeds that not all methods and prompts have are left out: {', '.join(map(str, others))}.", file=sys.stderr
        )
    runs = {(*pair, seed): found[seed] for pair, found in by_seed.items() for seed in seeds}
    histories = {key: run.evaluations() for key, run in runs.items()}
    for key, found in histories.items():
        if not found:
            raise GsdError(
                f"{runs[key].path} measured nothing on its way; delete it and repeat with evaluate_every=25."
            )
    methods, prompts = (list(dict.fromkeys(pair[k] for pair in chosen)) for k in (0, 1))
    return Study(methods, prompts, seeds, runs, histories)


def curve(study: Study, method: str, quantity: str, smooth: int = 0) -> Curve:
    """Runs are put on the calls at which any of them measured, on straight lines between their own.

    smooth: prior calls; a value is then the mean of those measured so many calls before it and since.
    """
    columns = []
    for seed in study.seeds:
        for prompt in study.prompts_with(quantity):
            records = [r for r in study.histories[method, prompt, seed] if quantity in r]
            columns.append(np.array([[r["prior_calls"] for r in records], [r[quantity] for r in records]], float))
    grid = np.unique(np.concatenate([column[0] for column in columns]))
    each = np.array([np.interp(grid, *column, left=np.nan, right=np.nan) for column in columns])
    by_seed = np.array([band(rows)[0] for rows in np.split(each, len(study.seeds))])
    if smooth:
        recent = (grid[None] <= grid[:, None]) & (grid[None] > grid[:, None] - smooth)
        by_seed = np.stack([band(np.where(row, by_seed, np.nan).T)[0] for row in recent], 1)
    return Curve(grid, *band(by_seed))


def calls(study: Study, quality: str, threshold: float) -> dict[str, Float[np.ndarray, "P S"]]:
    """method -> prior calls to the threshold, inf for a run that never reaches it."""

    def of(key: Key) -> float:
        records = [r for r in study.histories[key] if quality in r]
        found = calls_to_threshold(records, threshold, quality, quality not in SMALLER_IS_BETTER)
        return np.inf if found is None else found

    prompts = study.prompts_with(quality)
    return {m: np.array([[of((m, p, seed)) for seed in study.seeds] for p in prompts], float) for m in study.methods}


def table(reached: dict[float, dict[str, Float[np.ndarray, "P S"]]], budget: int) -> list[dict[str, Any]]:
    """A row a threshold and method."""
    rows, ps = [], []
    for threshold in sorted(reached):
        baseline = next(iter(reached[threshold].values()))
        for method, found in reached[threshold].items():
            spent, others = np.minimum(found, budget), np.minimum(baseline, budget)
            row = {"threshold": f"{threshold:g}", "method": method, "runs": found.size}
            row["reached %"] = text(rate(int((found <= budget).sum()), found.size), 100)
            median = np.quantile(found, 0.5, method="higher")
            row["median calls"] = f"{median:.0f}" if median <= budget else f"> {budget}"
            row["mean calls"] = text(mean(spent.mean(0).tolist()))
            row |= {"calls - baseline": "", "p": ""}
            if method != next(iter(reached[threshold])):
                row["calls - baseline"] = text(mean((spent - others).mean(0).tolist()), sign="+")
                ps.append((row, paired_p(spent.ravel().tolist(), others.ravel().tolist())))
            rows.append(row)
    for (row, _), p in zip(ps, holm([p for _, p in ps]), strict=True):
        row["p"] = f"{p:.2g}"
    return rows


def text(e: Estimate, factor: float = 1, sign: str = "") -> str:
    """Of one value there is no interval."""
    value = f"{factor * e.value:{sign}.0f}"
    return value if np.isnan(e.low) else f"{value} [{factor * e.low:{sign}.0f}, {factor * e.high:{sign}.0f}]"


def as_data(
    study: Study,
    curves: dict[str, dict[str, Curve]],
    reached: dict[float, dict[str, Float[np.ndarray, "P S"]]],
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """For result.json, where null is what is not known, and a run that never reaches a threshold."""

    def plain(values: Float[np.ndarray, "*n"]) -> Any:
        return np.where(np.isfinite(values), values.astype(object), None).tolist()

    return {
        "prompts": study.prompts,
        "seeds": study.seeds,
        "budget": study.budget,
        "runs": {f"{m}, {p}, seed {s}": str(run.path) for (m, p, s), run in study.runs.items()},
        "table": rows,
        "calls_to": {t: {m: plain(found) for m, found in each.items()} for t, each in reached.items()},
        "curves": {
            q: {m: {name: plain(column) for name, column in vars(c).items()} for m, c in each.items()}
            for q, each in curves.items()
        },
    }


def draw(
    study: Study,
    curves: dict[str, dict[str, Curve]],
    quality: str,
    reached: dict[float, dict[str, Float[np.ndarray, "P S"]]],
    folder: Path,
) -> None:
    plt = sweeps.pyplot()
    panels = len(curves) + bool(reached)
    strip, plots = 0.98 * len(study.methods), 2.0
    figure = plt.figure(figsize=(PICTURES + 1.3, strip + plots + 1.1))
    width, height = figure.get_size_inches()
    pictures = figure.add_gridspec(
        len(study.methods), PICTURES, left=1.25 / width, right=0.995, top=1 - 0.42 / height,
        bottom=1 - (0.42 + strip) / height, wspace=0.02, hspace=0.02,
    )  # fmt: skip
    draw_strip(study, figure, pictures)
    below = figure.add_gridspec(
        1, panels, left=0.5 / width, right=0.995, top=plots / height, bottom=0.42 / height, wspace=0.3
    )
    axes = [figure.add_subplot(cell) for cell in below]
    for axis, (quantity, each) in zip(axes, curves.items(), strict=False):
        for (method, c), colour, style in zip(each.items(), COLOURS, STYLES, strict=False):
            axis.fill_between(c.calls, c.low, c.high, color=colour, alpha=0.15, lw=0)
            axis.plot(c.calls, c.value, color=colour, ls=style, lw=1.3, label=method)
        axis.set_title(QUANTITIES.get(quantity, quantity), fontsize=9)
    if reached:
        draw_reached(axes[-1], reached, study.budget)
    for axis in axes:
        axis.set(xlabel="prior calls", xlim=(0, study.budget))
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="center", bbox_to_anchor=(0.5, (plots + 0.42) / height), ncols=len(labels), frameon=False
    )
    for ending in ("png", "pdf"):
        figure.savefig(folder / f"figure.{ending}", dpi=170)
    plt.close(figure)


def draw_strip(study: Study, figure: Any, grid: Any) -> None:
    """The first prompt and seed at equal prior calls, ever farther apart."""
    prompt, seed = study.prompts[0], study.seeds[0]
    first = min(study.histories[m, prompt, seed][1]["prior_calls"] for m in study.methods)
    for row, method in enumerate(study.methods):
        run, history = study.runs[method, prompt, seed], study.histories[method, prompt, seed]
        for column, wanted in enumerate(np.geomspace(first, study.budget, PICTURES)):
            record = min(history, key=lambda r: abs(r["prior_calls"] - wanted))
            axis = figure.add_subplot(grid[row, column])
            axis.imshow(Image.open(run.path / "frames" / f"{record['step']:06d}.png"))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if row == 0:
                axis.set_title(f"{record['prior_calls']} calls", fontsize=8, pad=3)
            if column == 0:
                axis.text(-0.08, 0.5, method, fontsize=9, ha="right", va="center", transform=axis.transAxes)
    figure.suptitle(f"“{prompt}”, from the front", fontsize=9, y=0.998, va="top")


def draw_reached(axis: Any, reached: dict[float, dict[str, Float[np.ndarray, "P S"]]], budget: int) -> None:
    """The share of runs that have reached the first threshold, by prior calls."""
    threshold, each = next(iter(reached.items()))
    for (_, found), colour, style in zip(each.items(), COLOURS, STYLES, strict=False):
        at = np.sort(found[found <= budget])
        x, y = np.concatenate([[0], at, [budget]]), np.concatenate([[0], np.arange(1, len(at) + 1), [len(at)]])
        axis.step(x, y / found.size, where="post", color=colour, ls=style, lw=1.3)
    axis.set_title(f"share of runs at {threshold:g}", fontsize=9)
    axis.set_ylim(-0.02, 1.02)


if __name__ == "__main__":
    main()
