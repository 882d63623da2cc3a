"""The paper's Table 1, a user study: baseline against baseline + GSD, on any two sets of runs.

    python experiments/figures/table1.py multirun/sds multirun/gsd                   makes outputs/table1, to be served
    python experiments/figures/table1.py   analyses it when people have answered
    python experiments/figures/table1.py multirun/sds multirun/gsd --simulate 0.6   the whole chain, with made-up raters
    python experiments/figures/table1.py --run --jobs 2   the paper's baselines, run at laptop scale

Two baselines, as in the paper, are four sets: A1 B1 A2 B2. --run takes settings for its runs, as seed=0,1,2 or, with
weights and a GPU, scale=null; the same command with another --out goes on where it was stopped.

Writes table.md (the paper's numbers beside ours), result.json, votes.csv, figure.png and figure.pdf. Simulated raters
answer the real server, and everything that comes out says that no people did.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sweeps

from gsd.cli.errors import guarded
from gsd.errors import GsdError
from gsd.tools.study.make import Options, make
from gsd.tools.study.report import write
from gsd.tools.study.simulate import Crowd, served, simulate
from gsd.tools.study.study import COLUMNS, VOTES, Study, load

BASELINES = ("gaussiandreamer", "prolificdreamer_3dfuse")  # of the paper's study
RUNS = {"prompt": "a full body of a cat with a hat,an owl", "seed": "0", "scale": "laptop"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="A B", help="as for gsd study make")
    parser.add_argument("--run", nargs="*", metavar="KEY=VALUE", help="make the runs first, in multirun/table1")
    parser.add_argument("--jobs", type=int, default=1, help="how many of them at a time (1); more need '.[cluster]'")
    parser.add_argument("--out", type=Path, default=Path("outputs/table1"))
    parser.add_argument("--names", nargs=2, default=["Baseline", "Baseline + GSD (ours)"], metavar=("A", "B"))
    parser.add_argument("--show", choices=["turntable", "views"], default="views", help="six views, as in the paper")
    parser.add_argument("--simulate", type=float, metavar="P", help="made-up raters who prefer B with this probability")
    parser.add_argument("--raters", type=int, default=39, help="simulated ones, at the same time (39)")
    parser.add_argument("--correlation", type=float, default=0.1, help="of a simulated rater's votes (0.1)")
    parser.add_argument("--careless", type=float, default=0.0, help="share of simulated raters who do not look (0)")
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    crowd = None if args.simulate is None else _crowd(args)
    if args.sets and args.run is not None:
        raise GsdError("--run makes its own sets; give either it or A and B.")
    sets = args.sets if args.run is None else run(args.run, args.jobs)
    if sets:
        simulated = str(crowd) if crowd else None
        make(sets, args.out, Options(names=tuple(args.names), show=args.show, simulated=simulated))
    study = load(args.out)
    if crowd:
        if study.simulated is None:
            raise GsdError(
                f"{args.out} is for people; --simulate makes a study of its own from A and B: give these too."
            )
        answer(args.out, study, crowd)
    elif not (args.out / VOTES).exists():
        print(f"{args.out} is ready: gsd study serve {args.out}, then python experiments/figures/table1.py")
        return
    print(write(args.out, args.out))
    draw(study, json.loads((args.out / "result.json").read_text()), args.out)
    print(f"{args.out}/figure.png, figure.pdf, result.json, table.md, votes.csv")


def run(settings: Sequence[str], jobs: int) -> list[str]:
    """Run what is lacking of the paper's two baselines with and without GSD; returns the four sets."""
    presets = [name + ending for name in BASELINES for ending in ("", "_gsd")]
    swept = RUNS | sweeps.typed(settings)
    seeds = swept.pop("seed")
    words = [f"{key}={value}" for key, value in swept.items()]
    sweeps.launch("table1", [f"experiment={','.join(presets)}", *words], [seeds], jobs)
    return [f"multirun/table1 experiment={preset}" for preset in presets]


def _crowd(args: argparse.Namespace) -> Crowd:
    if not (0 < args.simulate < 1 and 0 <= args.correlation < 1 and 0 <= args.careless <= 1 and args.raters > 0):
        raise GsdError(
            "--simulate lies between 0 and 1, --correlation and --careless from 0 to 1; --raters is at least 1."
        )
    return Crowd(args.raters, args.simulate, args.correlation, args.careless)


def answer(folder: Path, study: Study, crowd: Crowd) -> None:
    """Let the crowd answer the study's own server, and say how that went."""
    with served(folder) as (url, _):
        began = time.perf_counter()
        raters = simulate(url, study, crowd)
        seconds = time.perf_counter() - began
    waits = np.concatenate([rater.waits for rater in raters])
    megabytes = sum(sum(rater.fetched.values()) for rater in raters) / 1e6
    print(
        f"{len(raters)} simulated raters at the same time: {len(waits)} trials, {megabytes:.0f} MB of pictures in "
        f"{seconds:.1f} s, {len(waits) / seconds:.0f} trials a second; an answer was stored within "
        f"{np.quantile(waits, 0.95):.2f} s in 95 %, {waits.max():.2f} s in all"
    )


def draw(study: Study, result: dict[str, Any], folder: Path) -> None:
    """The preference for B on every question with its intervals, and the paper's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.family": "serif", "font.size": 9, "pdf.fonttype": 42})
    figure, axis = plt.subplots(figsize=(5.6, 2.5), layout="constrained")
    ours = "ours" if study.simulated is None else "simulated"
    for height, (question, found) in enumerate(result["questions"].items()):
        for name, width, what in (("crossed", 1.2, "95 %, raters and prompts"), ("by_rater", 4.0, "95 %, raters")):
            ends = [np.nan if end is None else end for end in (found[name]["low"], found[name]["high"])]
            label = what if height == 0 else None
            axis.plot(ends, (height - 0.1,) * 2, color="#0a63b0", lw=width, solid_capstyle="butt", label=label)
        for value, offset, marker, colour, what in (
            (found["by_rater"]["value"], -0.1, "o", "#0a63b0", ours),
            (result["paper"]["shares"][question], 0.16, "D", "#c00000", "paper"),
        ):
            label = what if height == 0 else None
            axis.plot(value, height + offset, marker, ms=6, color=colour, mec="white", label=label)
    axis.axvline(0.5, color="0.5", lw=0.8, ls="--", zorder=0)
    axis.set(
        yticks=range(len(COLUMNS)), yticklabels=list(COLUMNS.values()), ylim=(len(COLUMNS) - 0.5, -0.5), xlim=(0, 1),
        xlabel=f"share of votes for {study.names[1]}",
    )  # fmt: skip
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.legend(loc="center left", frameon=False, fontsize=8)
    people = "raters" if study.simulated is None else "SIMULATED raters, no people"
    axis.set_title(f"{result['raters']} {people}, {len(study.pairs)} scenes a side", fontsize=9)
    for name in ("figure.png", "figure.pdf"):
        figure.savefig(folder / name, dpi=170)
    plt.close(figure)


if __name__ == "__main__":
    main()
