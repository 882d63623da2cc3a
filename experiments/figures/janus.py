"""The Janus benchmark: how often each method grows further faces, against how rare back views are for the prior.

    python experiments/figures/janus.py --run [--parts grid looking ...] [--jobs 2]   # resumable; about 8 s per run
    python experiments/figures/janus.py   # only reads multirun/janus
    python experiments/figures/janus.py --also docs/results/janus.csv    # with the published runs, without --run

Subjects x seeds x methods x view_bias on the menagerie, where the right answer is known, at equal prior calls. A run is
coherent when it has one front, no Janus verdict and a view error below 20 degrees. One that shows nothing is empty,
neither coherent nor Janus; runs that fail otherwise are mostly backs or melted fronts all around. Pairs share subject,
seed and bias, so also their start, cameras and noise levels. Intervals redraw subjects; p values flip signs within
pairs. Seeds 0 to 4 are for looking, at every method and setting; 5 to 9 for confirming those that stood out. The grid
of the four cells, on all seeds, was fixed before any of its runs.

Writes result.json, runs.csv, table.md, figure.png and figure.pdf.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plots
import sweeps
from outcomes import Outcome, coherent, read, write
from pairs import Difference, difference, redrawn

from gsd.results import markdown
from gsd.results.runs import Run
from gsd.statistics.estimates import Estimate
from gsd.statistics.resampling import bootstrap, holm

SUBJECTS = (
    "a cat with a hat", "a goose made out of gold", "an owl", "a corgi", "an elephant", "a teddy bear", "a penguin",
    "a cute meercat",
)  # fmt: skip
BIASES = (2, 4, 8)
BETWEEN = 4  # the bias at which everything beside the grid is compared: plain score distillation fails in half the runs
LOOKING, CONFIRMING = range(5), range(5, 10)
SMALL = ("images_every=0", "checkpoint_every=1000", "turntable.views=60", "turntable.resolution=64")

CELLS = {
    "SDS": "noising=random loss=none",
    "3D noise": "noising=consistent loss=none",
    "loss": "noising=random loss=consistency",
    "GSD": "noising=consistent loss=consistency",
}
OTHERS = {
    "nearest": "noising=nearest loss=none",
    "bilinear": "noising=bilinear loss=none",
    "split nearest": "noising=split_nearest loss=none",
    "2D integral": "noising=integral loss=none",
    "lattice": "noising=lattice loss=none",
    "3D noise, tent": "noising=consistent loss=none noising.kernel=tent",
    "3D noise kept 30 steps": "noising=consistent loss=none noising.refresh=interval noising.interval=30",
    "3D noise drifting": "noising=consistent loss=none noising.refresh=ou",
    "GSD, weight 0.1": "noising=consistent loss=consistency loss.consistency.weight=0.1",
    "GSD, eq. 9 in the loss": "noising=consistent loss=consistency loss.consistency.input=score",
}
REGIMES = {  # both methods are run in each
    "four views": "camera.views=4 steps=300",
    "15 degrees apart": "camera.delta_deg=15",
    "30 degrees apart": "camera.delta_deg=30",
    "usual noise range": "sigma.t_min=0.02",
    "no view words": "prompting=plain",
}


class Part(NamedTuple):
    """Runs that are launched together: every method with every bias and seed, on all subjects."""

    methods: Sequence[str]
    biases: Sequence[int]
    seeds: range


# What changed the share of coherent runs or the Janus rate by ten points or more in the runs for looking
STANDING_OUT = (OTHERS["2D integral"], OTHERS["GSD, eq. 9 in the loss"])
REGIMES_STANDING_OUT = ("four views", "usual noise range", "no view words")


def in_regimes(names: Iterable[str]) -> list[str]:
    return [f"{CELLS[cell]} {REGIMES[name]}" for name in names for cell in ("SDS", "GSD")]


PARTS = {
    "grid": Part(list(CELLS.values()), BIASES, LOOKING),
    "looking": Part([*OTHERS.values(), *in_regimes(REGIMES)], [BETWEEN], LOOKING),
    "grid2": Part(list(CELLS.values()), BIASES, CONFIRMING),
    "confirming": Part([*STANDING_OUT, *in_regimes(REGIMES_STANDING_OUT)], [BETWEEN], CONFIRMING),
}


def outcome(run: Run, everywhere: Sequence[str] = ()) -> Outcome:
    """What came out of a run; `everywhere`: overrides that all runs have, and that name no method."""
    typed, found = run.typed, run.summary
    known = {*sweeps.typed((*SMALL, *everywhere)), "name", "threads", "prompt", "seed", "prior.view_bias"}
    return Outcome(
        method=" ".join(f"{key}={value}" for key, value in typed.items() if key not in known),
        subject=found["prompt"],
        bias=int(typed["prior.view_bias"]),
        seed=found["seed"],
        janus=found["janus"],
        coherent=coherent(found),
        psnr=found["psnr_aligned"],
        view_error=found["view_error_deg"],
        prior_calls=found["prior_calls"],
        empty=found.get("empty", math.nan),
    )


def rate(outcomes: Sequence[Outcome], quantity: str) -> Estimate:
    """A mean over runs, with the interval of redrawing subjects."""
    values = [getattr(o, quantity) for o in outcomes]
    return bootstrap(redrawn(values, [o.subject for o in outcomes], SUBJECTS))


def effect(a: Sequence[Outcome], b: Sequence[Outcome], quantity: str) -> Difference | None:
    """The mean difference a - b over pairs, redrawing subjects; None without pairs."""
    mine, theirs = ({o.pair: float(getattr(o, quantity)) for o in some} for some in (a, b))
    return difference(mine, theirs, SUBJECTS)


def breaking_bias(outcomes: Sequence[Outcome], seed: int = 0) -> Estimate:
    """The view_bias at which half the runs are incoherent, on straight lines between the biases; redrawing subjects."""
    cells = [[1 - o.coherent for o in outcomes if (o.subject, o.bias) == (s, b)] for s in SUBJECTS for b in BIASES]
    table = np.array([np.mean(cell or [np.nan]) for cell in cells]).reshape(len(SUBJECTS), len(BIASES))

    def crossing(incoherent: Any) -> float:
        broken = np.maximum.accumulate(incoherent)  # a rising curve
        if broken[-1] < 0.5:
            return np.inf
        if broken[0] >= 0.5:
            return -np.inf
        return float(np.interp(0.5, broken, BIASES))

    chosen = np.random.default_rng(seed).integers(len(SUBJECTS), size=(2000, len(SUBJECTS)))
    drawn = [crossing(row) for row in np.nanmean(table[chosen], axis=1)]
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return Estimate(crossing(np.nanmean(table, axis=0)), float(low), float(high), len(outcomes))


def bias_text(estimate: Estimate) -> str:
    def text(value: float) -> str:
        return f"> {BIASES[-1]}" if value == np.inf else f"< {BIASES[0]}" if value == -np.inf else f"{value:.1f}"

    return f"{text(estimate.value)} [{text(estimate.low)}, {text(estimate.high)}]"


def rates(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What all tables of methods say of the runs of one; the shares are of all runs, those that show nothing too."""
    known = [o for o in outcomes if not math.isnan(o.empty)]
    return {
        "runs": len(outcomes), "Janus %": f"{rate(outcomes, 'janus') * 100:.0f}",
        "empty %": f"{rate(known, 'empty') * 100:.0f}" if known else "not measured",
        "coherent %": f"{rate(outcomes, 'coherent') * 100:.0f}", "PSNR dB": f"{rate(outcomes, 'psnr'):.1f}",
    }  # fmt: skip


def grid_table(of: Callable[..., list[Outcome]]) -> list[dict[str, Any]]:
    cells = [(bias, name, of(method, bias)) for bias in BIASES for name, method in CELLS.items()]
    return [
        {"view_bias": bias, "method": name} | rates(mine) | {
            "view error": f"{rate(mine, 'view_error').value:.0f}",
            "prior calls": f"{np.mean([o.prior_calls for o in mine]):.0f}",
        }
        for bias, name, mine in cells if mine
    ]  # fmt: skip


def effect_rows(pairs: dict[str, tuple[list[Outcome], list[Outcome]]]) -> list[dict[str, Any]]:
    """One row per comparison (a against b); p of the Janus and coherent columns together adjusted by Holm."""
    effects = {name: [effect(a, b, q) for q in ("janus", "coherent", "psnr")] for name, (a, b) in pairs.items()}
    found = {name: [e for e in each if e] for name, each in effects.items() if each[0]}
    adjusted = iter(holm([e.p for each in found.values() for e in each[:2]]))
    return [
        {
            "comparison": name, "pairs": janus.pairs,
            "Janus, points": f"{janus.mean * 100:+.0f}", "p": f"{next(adjusted):.2g}",
            "coherent, points": f"{coherent.mean * 100:+.0f}", "p ": f"{next(adjusted):.2g}",
            "PSNR dB": f"{psnr.mean:+.1f}", "p  ": f"{psnr.p:.2g}",
        }
        for name, (janus, coherent, psnr) in found.items()
    ]  # fmt: skip


def report(outcomes: list[Outcome]) -> tuple[str, dict[str, Any]]:
    """Markdown and the same as data."""

    def of(method: str, bias: int | None = None, seeds: range | None = None) -> list[Outcome]:
        mine = [o for o in outcomes if o.method == method]
        return [o for o in mine if bias in (None, o.bias) and (seeds is None or o.seed in seeds)]

    sds, noise, loss, gsd = CELLS.values()
    components = {
        "3D noise alone - SDS": (of(noise), of(sds)),
        "loss alone - SDS": (of(loss), of(sds)),
        "GSD - SDS": (of(gsd), of(sds)),
        "GSD - 3D noise alone": (of(gsd), of(noise)),
        "GSD - loss alone": (of(gsd), of(loss)),
    }
    by_bias = {f"GSD - SDS at view_bias {b}": (of(gsd, b), of(sds, b)) for b in BIASES}
    breaking = {name: bias_text(breaking_bias(of(method))) for name, method in CELLS.items() if of(method)}
    between = {name: of(method, BETWEEN) for name, method in {**CELLS, **OTHERS}.items() if of(method, BETWEEN)}
    leaders = sorted(between, key=lambda name: -rate(between[name], "coherent").value)
    sections = {
        "The four cells": grid_table(of),
        "What each component does, all biases": effect_rows(components),
        "By how rare back views are": effect_rows(by_bias),
        "The bias at which half the runs break": [{"method": m, "view_bias": bias} for m, bias in breaking.items()],
        f"All methods at view_bias {BETWEEN}": [{"method": name} | rates(between[name]) for name in leaders],
    }
    for title, seeds in (("looking, seeds 0 to 4", LOOKING), ("confirming, seeds 5 to 9", CONFIRMING)):
        methods = {f"{name} - SDS": (method, sds) for name, method in OTHERS.items()}
        methods |= {f"GSD - SDS, {name}": (f"{gsd} {x}", f"{sds} {x}") for name, x in REGIMES.items()}
        methods["GSD - SDS, defaults"] = (gsd, sds)
        pairs = {name: (of(one, BETWEEN, seeds), of(other, BETWEEN, seeds)) for name, (one, other) in methods.items()}
        sections[f"Where does it help? ({title})"] = effect_rows(pairs)
    text = "\n".join(f"## {title}\n\n{markdown.table(rows)}" for title, rows in sections.items() if rows)
    return text, sections


def draw(outcomes: list[Outcome]) -> Any:
    figure = plots.figure(9, 2.8)
    axes = figure.subplots(1, 3)
    quantities = (("janus", "Janus rate"), ("coherent", "coherent runs"), ("psnr", "aligned PSNR (dB)"))
    for axis, (quantity, title) in zip(axes, quantities, strict=True):
        for k, (name, method) in enumerate(CELLS.items()):
            by_bias = ([o for o in outcomes if (o.method, o.bias) == (method, b)] or outcomes for b in BIASES)
            middle, low, high = np.array([(e.value, e.low, e.high) for e in (rate(o, quantity) for o in by_bias)]).T
            x = np.arange(len(BIASES)) + 0.08 * (k - 1.5)
            axis.errorbar(x, middle, [middle - low, high - middle], label=name, marker="o", ms=3.5, lw=1.2, capsize=2)
        axis.set(xticks=range(len(BIASES)), xticklabels=BIASES, xlabel="view_bias", title=title)
        if quantity != "psnr":
            axis.set_ylim(-0.03, 1.03)
    axes[0].legend()
    return figure


def main() -> None:
    options = sweeps.parser(__doc__, "janus")
    options.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what --run launches")
    options.add_argument("--also", type=Path, help="a runs.csv, of another machine or an earlier day, to read as well")
    sweeps.start(options, _main)


def _main(args: Any) -> None:
    for part in (PARTS[name] for name in args.parts if args.run):
        for method in part.methods:
            swept = [f"prompt={','.join(SUBJECTS)}", f"prior.view_bias={','.join(map(str, part.biases))}"]
            sweeps.launch(args.name, [*SMALL, *method.split(), *swept, *args.overrides], part.seeds, args.jobs)
    published = read(args.also) if args.also else []
    here = Path("multirun", args.name).is_dir() or not published
    outcomes = [outcome(run, args.overrides) for run in sweeps.runs_of(args.name)] if here else []
    known = {(o.method, o.pair) for o in outcomes}
    outcomes += [o for o in published if (o.method, o.pair) not in known]
    text, sections = report(outcomes)
    sweeps.publish(args.out, draw(outcomes), sections, text)
    write(args.out / "runs.csv", sorted(outcomes, key=lambda o: (o.method, o.pair)))


if __name__ == "__main__":
    main()
