"""Fig. 9 of the paper: how fast does a scene form, as usual and with GSD?

    python experiments/figures/fig9_convergence.py --run --jobs 2   # minutes, on the menagerie
    python experiments/figures/fig9_convergence.py --run prior=stable_diffusion metric=none camera.resolution=256
    python experiments/figures/fig9_convergence.py --run --setup gaussiandreamer scale=laptop   # the paper's baseline
    python experiments/figures/fig9_convergence.py --run --setup claims  # claim c of docs/protocol.md: 80 runs
    python experiments/figures/fig9_convergence.py --run --setup cure    # when view guidance decides the pose

Above, the front of the first prompt and seed at equal prior calls; below, what the runs measured during optimisation
(evaluate_every), against prior calls. Runs of one seed share start, cameras and noise levels, so each method is
compared with the first one pair by pair. Means are over prompts, then over seeds. The seeds are the units: bands,
intervals (95 %) and p are over the seeds' means, so they say nothing about other prompts; of a single seed the prompts
are. p is adjusted (Holm) over the table.

A run has reached a quality when it is as good and stays so. A run that never reaches it counts in the share, and in the
mean of calls with its whole budget (a restricted mean), so that no run is dropped. A second table is claim c of
docs/protocol.md: the calls to what the worse run of a pair ends with, with prompts as the units. The gradient cosine is
that of single steps; here it is a mean over the last --smooth prior calls.

With --setup gaussiandreamer all methods have GSD's six views per step, so that the baseline differs in nothing else.

Quantities that the runs lack are left out: without the menagerie's truth there are the pictures and the gradient
cosine. Writes figure.png, figure.pdf, table.md and result.json.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import claims
import cure_pictures
import gallery
import janus
import numpy as np
import plots
import sweeps
from jaxtyping import Float
from PIL import Image

from gsd.errors import GsdError
from gsd.results import markdown, quantities
from gsd.results.outcome import outcome
from gsd.results.runs import Run, calls_to_threshold
from gsd.statistics.estimates import band, mean
from gsd.statistics.pairs import holm, paired
from gsd.statistics.proportions import share

FIGURE = gallery.Gallery(
    name="fig9",
    title="Convergence",
    methods=dict(zip(("SDS", "3D noise alone", "loss alone", "GSD"), janus.CELLS.values(), strict=True)),
    prompts=("a full body of a cat with a hat", "a cute meercat"),
    common=("evaluate_every=25", "images_every=0", "turntable.views=60", "turntable.resolution=128"),
    seeds=5,
)
SETUPS = {
    "gaussiandreamer": replace(
        FIGURE,
        name="fig9_gaussiandreamer",
        methods={
            "GaussianDreamer": "experiment=gaussiandreamer_gsd noising=random loss=[sparsity]",
            "3D noise alone": "experiment=gaussiandreamer_gsd loss=[sparsity]",
            "loss alone": "experiment=gaussiandreamer_gsd noising=random",
            "GSD": "experiment=gaussiandreamer_gsd",
        },
        prompts=FIGURE.prompts[:1],
    ),
    "claims": replace(
        FIGURE,
        name="fig9_claims",
        prompts=janus.SUBJECTS,
        common=(*claims.OVERRIDES, *janus.SMALL, "evaluate_every=25", "prior.view_bias=2"),
        seeds=1,
        first_seed=10,  # which nothing was chosen on
    ),
    "cure": replace(cure_pictures.FIGURE, name="fig9_cure", common=(*cure_pictures.PRIOR, *FIGURE.common), seeds=3),
}
THRESHOLDS = (25.0, 22.0, 28.0)  # dB; the first is drawn
PICTURES = 9  # of a run, at most
QUANTITIES = {  # title and range
    "psnr_aligned": ("aligned PSNR (dB)", (0, np.inf)),
    "view_error_deg": ("view error (degrees)", (0, 180)),
    "face_fraction": ("share of views with a face", (0, 1)),
    "gradient_cosine": ("gradient cosine of two views", (-1, 1)),
}
LOOKS = (("0.25", "-"), ("#0072b2", "-"), ("#e69f00", (0, (4, 2))), ("#c0392b", "-"))  # colour and dashes by method

Key = tuple[str, str, int]  # method, prompt, seed
Band = tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"], Float[np.ndarray, " G"]]  # values, lows, highs


@dataclass(frozen=True)
class Study:
    """Runs of every method on the same prompts and seeds, and what they measured during optimisation."""

    methods: list[str]
    prompts: list[str]
    seeds: list[int]
    runs: dict[Key, Run]
    histories: dict[Key, list[dict[str, Any]]]

    @property
    def budget(self) -> int:
        """Prior calls that every run has had."""
        return min(history[-1]["prior_calls"] for history in self.histories.values())

    @property
    def grid(self) -> Float[np.ndarray, " G"]:
        """All prior calls, within the budget, at which some run measured something."""
        measured = np.unique([r["prior_calls"] for history in self.histories.values() for r in history])
        return measured[measured <= self.budget].astype(float)

    def prompts_with(self, quantity: str) -> list[str]:
        """Prompts on which every run has measured the quantity."""
        lacking = {key[1] for key, found in self.histories.items() if not any(quantity in r for r in found)}
        return [prompt for prompt in self.prompts if prompt not in lacking]


def main() -> None:
    options = gallery.parser(__doc__, FIGURE, SETUPS)
    options.add_argument("--quality", default="psnr_aligned", metavar="KEY", help="of evaluations.jsonl (psnr_aligned)")
    options.add_argument(
        "--threshold", type=float, action="append", help=f"of the quality, the first is drawn ({THRESHOLDS})"
    )
    options.add_argument("--smooth", type=int, default=200, metavar="CALLS", help="for the gradient cosine (200)")
    sweeps.start(options, _main)


def _main(args: argparse.Namespace) -> None:
    study = gather(gallery.find(gallery.setup(args, FIGURE, SETUPS), args))
    by_seed = {
        quantity: {method: values(study, method, quantity) for method in study.methods}
        for quantity in {args.quality: None, **QUANTITIES}
        if study.prompts_with(quantity)
    }
    cosine = by_seed.get("gradient_cosine", {})
    cosine.update({method: smoothed(rows, study.grid, args.smooth) for method, rows in cosine.items()})
    curves = {quantity: {m: band(rows) for m, rows in each.items()} for quantity, each in by_seed.items()}
    rows, ends, gain, reached = [], [], {}, {}
    if args.quality in by_seed:
        first = by_seed[args.quality][study.methods[0]]
        gain = {m: band(rows - first) for m, rows in by_seed[args.quality].items()}
        reached = {threshold: calls(study, args.quality, threshold) for threshold in args.threshold or THRESHOLDS}
        rows, ends = table(reached, study.budget), worse_ends(study, args.quality)
    result = {
        "prompts": study.prompts,
        "seeds": study.seeds,
        "budget": study.budget,
        "runs": {f"{m}, {p}, seed {s}": str(run.path) for (m, p, s), run in study.runs.items()},
        "table": rows,
        "to_the_worse_end": ends,
        "calls_to": reached,
        "prior_calls": study.grid,
        "curves": {quantity: as_data(by_method) for quantity, by_method in curves.items()},
        "gain": as_data(gain),
    }
    text = markdown.table(rows) or f"There is no prompt on which all runs have measured {args.quality}.\n"
    if ends:
        text += f"\nCalls to what the worse run of a coherent pair ends with:\n\n{markdown.table(ends)}"
    sweeps.publish(args.out, draw(study, args.quality, curves, gain, reached), result, text)


def gather(chosen: gallery.Chosen) -> Study:
    """The runs of seeds that every method has on every prompt. Raises GsdError for a run that measured nothing."""
    by_seed = {pair: {run.summary["seed"]: run for run in runs} for pair, runs in chosen.items()}
    seeds = sorted(set.intersection(*(set(runs) for runs in by_seed.values())))
    others = sorted(set.union(*(set(runs) for runs in by_seed.values())) - set(seeds))
    if not seeds:
        raise GsdError("No seed was run with every method on every prompt; add --run to launch what is missing.")
    if others:
        left_out = ", ".join(map(str, others))
        print(f"Seeds that not all methods and prompts have are left out: {left_out}.", file=sys.stderr)
    runs = {(*pair, seed): found[seed] for pair, found in by_seed.items() for seed in seeds}
    histories = {key: run.evaluations() for key, run in runs.items()}
    for key, found in histories.items():
        if not found:
            raise GsdError(
                f"{runs[key].path} measured nothing during optimisation; delete it and repeat with evaluate_every=25."
            )
    methods, prompts = (list(dict.fromkeys(pair[k] for pair in chosen)) for k in (0, 1))
    return Study(methods, prompts, seeds, runs, histories)


def values(study: Study, method: str, quantity: str) -> Float[np.ndarray, "units G"]:
    """On Study.grid, straight lines between a run's own measurements: the mean over prompts for each seed.

    With a single seed each prompt.
    """
    each = []
    for seed in study.seeds:
        for prompt in study.prompts_with(quantity):
            records = [r for r in study.histories[method, prompt, seed] if quantity in r]
            x, y = [r["prior_calls"] for r in records], [r[quantity] for r in records]
            each.append(np.interp(study.grid, x, y, left=np.nan, right=np.nan))
    groups = np.split(np.array(each), len(study.seeds))
    return np.array([band(rows)[0] for rows in groups]) if len(groups) > 1 else groups[0]


def smoothed(
    rows: Float[np.ndarray, "units G"], grid: Float[np.ndarray, " G"], over: int
) -> Float[np.ndarray, "units G"]:
    """The mean of what was measured within so many calls up to each point of the grid."""
    recent = (grid <= grid[:, None]) & (grid > grid[:, None] - over)
    return np.stack([band(np.where(window, rows, np.nan).T)[0] for window in recent], 1)


def calls(study: Study, quality: str, threshold: float) -> dict[str, Float[np.ndarray, "P S"]]:
    """method -> prior calls to the threshold, inf for a run that never reaches it."""
    prompts = study.prompts_with(quality)
    return {
        m: np.array([[calls_of(study, (m, p, seed), quality, threshold) for seed in study.seeds] for p in prompts])
        for m in study.methods
    }


def calls_of(study: Study, key: Key, quality: str, threshold: float) -> float:
    records = [r for r in study.histories[key] if quality in r]
    found = calls_to_threshold(records, threshold, quality, rises(quality))
    return np.inf if found is None else found


def rises(quality: str) -> bool:
    return quantities.quantity(quality).better != "lower"


def worse_ends(study: Study, quality: str) -> list[dict[str, Any]]:
    """Per method, the calls it takes to what the worse of it and the baseline ends with, less those of the baseline.

    Of pairs that are coherent in both. Either run reaches it, so neither is favoured: what the baseline alone ends with
    others may have early, and the baseline never before its end.
    """
    first, *others = study.methods
    rows, ps = [], []
    for method in others:
        prompts, differences = [], []
        for prompt, seed in product(study.prompts_with(quality), study.seeds):
            pair = [(m, prompt, seed) for m in (method, first)]
            if all(outcome(study.runs[key].summary) == "coherent" for key in pair):
                ends = ([r[quality] for r in study.histories[key] if quality in r][-1] for key in pair)
                threshold = (min if rises(quality) else max)(ends)
                mine, theirs = (calls_of(study, key, quality, threshold) for key in pair)
                prompts.append(prompt)
                differences.append(mine - theirs)
        if prompts:
            found = paired(differences, prompts)
            rows.append({"method": method, "pairs": len(prompts), "calls - baseline": format(found.mean, "+.0f")})
            ps.append(found.p)
    return [row | {"p": f"{p:.2g}"} for row, p in zip(rows, holm(ps), strict=True)]


def table(reached: dict[float, dict[str, Float[np.ndarray, "P S"]]], budget: int) -> list[dict[str, Any]]:
    """One row per threshold and method."""
    rows, ps = [], []
    for threshold, by_method in sorted(reached.items()):
        first, *_ = by_method
        for method, found in by_method.items():
            spent, others = np.minimum(found, budget), np.minimum(by_method[first], budget)
            over = 0 if found.shape[1] > 1 else 1  # the prompts of a seed, or a single seed
            units = np.indices(found.shape)[1 - over].ravel().tolist()
            median = np.quantile(found, 0.5, method="higher")
            row = {
                "threshold": f"{threshold:g}",
                "method": method,
                "runs": found.size,
                "reached %": format(share((found <= budget).ravel().tolist(), units) * 100, ".0f"),
                "median calls": f"{median:.0f}" if median <= budget else f"> {budget}",
                "mean calls": format(mean(spent.mean(over).tolist()), ".0f"),
                "calls - baseline": "",
                "p": "",
            }
            if method != first:
                difference = paired((spent - others).ravel().tolist(), units)
                row["calls - baseline"] = format(difference.mean, "+.0f")
                ps.append((row, difference.p))
            rows.append(row)
    for (row, _), p in zip(ps, holm([p for _, p in ps]), strict=True):
        row["p"] = f"{p:.2g}"
    return rows


def as_data(bands: dict[str, Band]) -> dict[str, Any]:
    return {method: dict(zip(("value", "low", "high"), each, strict=True)) for method, each in bands.items()}


def draw(study: Study, quality: str, curves: dict[str, dict[str, Band]], gain: dict[str, Band], reached: Any) -> Any:
    panels = len(curves) + 2 * bool(gain)
    lines, strip = -(-panels // 3), 0.98 * len(study.methods)
    figure = plots.figure(9.4, strip + 1.95 * lines + 0.9)
    above, below = figure.subfigures(2, 1, height_ratios=(strip + 0.4, 1.95 * lines + 0.5))
    draw_strip(study, above)
    axes = below.subplots(lines, 3, squeeze=False).ravel()
    rest = iter(axes)
    for quantity, by_method in curves.items():
        title, limits = QUANTITIES.get(quantity, (quantity, (-np.inf, np.inf)))
        draw_bands(next(rest), title, study.grid, by_method, limits)
        if quantity == quality:
            draw_bands(next(rest), f"{title}, less {study.methods[0]}", study.grid, gain)
            draw_reached(next(rest), quality, reached, study.budget)
    for axis in axes:
        axis.set(xlabel="prior calls", xlim=(0, study.budget))
        axis.locator_params(axis="x", nbins=4)
    for axis in rest:
        axis.set_axis_off()
    below.legend(handles=axes[0].get_lines(), loc="outside upper center", ncols=len(study.methods))
    return figure


def draw_bands(
    axis: Any, title: str, x: Float[np.ndarray, " G"], by_method: dict[str, Band], limits: Any = (-np.inf, np.inf)
) -> None:
    """Bands are cut at what the quantity can be, which Student's interval does not know."""
    for (method, (value, low, high)), (colour, dashes) in zip(by_method.items(), LOOKS, strict=False):
        axis.fill_between(x, np.clip(low, *limits), np.clip(high, *limits), color=colour, alpha=0.13, lw=0)
        axis.plot(x, value, color=colour, ls=dashes, label=method)
    axis.set_title(title)


def draw_strip(study: Study, figure: Any) -> None:
    """The first prompt and seed from azimuth 0 at equal prior calls, at ever larger distances."""
    prompt, seed = study.prompts[0], study.seeds[0]
    measured = [r["prior_calls"] for r in study.histories[study.methods[0], prompt, seed]]
    shown = np.unique(np.geomspace(1, max(1, len(measured) - 1), PICTURES).round().astype(int))
    axes = figure.subplots(len(study.methods), len(shown), squeeze=False)
    for row, method in enumerate(study.methods):
        run, history = study.runs[method, prompt, seed], study.histories[method, prompt, seed]
        for column, index in enumerate(shown):
            wanted = measured[min(index, len(measured) - 1)]
            record = min(history, key=lambda r: abs(r["prior_calls"] - wanted))
            frame = Image.open(run.path / "frames" / f"{record['step']:06d}.png")
            title, label = "" if row else f"{wanted} calls", "" if column else method
            plots.show(axes[row, column], frame, title, label)
    figure.suptitle(f"“{prompt}” from azimuth 0, seed {seed}", fontsize=9)


def draw_reached(axis: Any, quality: str, reached: Any, budget: int) -> None:
    """The share of runs that have reached the first threshold, by prior calls."""
    threshold, by_method = next(iter(reached.items()))
    for each, (colour, dashes) in zip(by_method.values(), LOOKS, strict=False):
        at = np.sort(each[each <= budget])
        x, y = np.concatenate([[0], at, [budget]]), np.concatenate([[0], np.arange(1, len(at) + 1), [len(at)]])
        axis.step(x, y / each.size, where="post", color=colour, ls=dashes)
    unit = " dB" if quality == "psnr_aligned" else ""
    axis.set(title=f"share of runs that have reached {threshold:g}{unit}", ylim=(-0.03, 1.03))


if __name__ == "__main__":
    main()
