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
from dataclasses import replace
from typing import Any

import claims
import convergence
import cure_pictures
import gallery
import janus
import numpy as np
import plots
import sweeps
from convergence import Study
from jaxtyping import Float
from PIL import Image

from gsd.results import markdown
from gsd.statistics.estimates import band

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

Band = tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"], Float[np.ndarray, " G"]]  # values, lows, highs


def main() -> None:
    options = gallery.parser(__doc__, FIGURE, SETUPS)
    options.add_argument("--quality", default="psnr_aligned", metavar="KEY", help="of evaluations.jsonl (psnr_aligned)")
    options.add_argument(
        "--threshold", type=float, action="append", help=f"of the quality, the first is drawn ({THRESHOLDS})"
    )
    options.add_argument("--smooth", type=int, default=200, metavar="CALLS", help="for the gradient cosine (200)")
    sweeps.start(options, _main)


def _main(args: argparse.Namespace) -> None:
    study = convergence.gather(gallery.find(gallery.setup(args, FIGURE, SETUPS), args))
    by_seed = {
        quantity: {method: convergence.values(study, method, quantity) for method in study.methods}
        for quantity in {args.quality: None, **QUANTITIES}
        if study.prompts_with(quantity)
    }
    cosine = by_seed.get("gradient_cosine", {})
    cosine.update({method: convergence.smoothed(rows, study.grid, args.smooth) for method, rows in cosine.items()})
    curves = {quantity: {m: band(rows) for m, rows in each.items()} for quantity, each in by_seed.items()}
    rows, ends, gain, reached = [], [], {}, {}
    if args.quality in by_seed:
        first = by_seed[args.quality][study.methods[0]]
        gain = {m: band(rows - first) for m, rows in by_seed[args.quality].items()}
        reached = {
            threshold: convergence.calls(study, args.quality, threshold) for threshold in args.threshold or THRESHOLDS
        }
        rows, ends = convergence.table(reached, study.budget), convergence.worse_ends(study, args.quality)
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
