"""The paper's Table 1, a user study: baseline against baseline + GSD, on any two sets of runs.

    python experiments/figures/table1.py multirun/sds multirun/gsd                   makes outputs/table1, to be served
    python experiments/figures/table1.py   analyses it when people have answered
    python experiments/figures/table1.py multirun/sds multirun/gsd --simulate 0.6   the same with made-up raters
    python experiments/figures/table1.py --run --jobs 2   the paper's baselines, run at laptop scale

Two baselines, as in the paper, are four sets: A1 B1 A2 B2. --run takes settings for its runs, as seed=0,1,2 or, with
weights and a GPU, scale=null; the same command with another --out goes on where it was stopped.

Writes table.md (the paper's numbers beside ours), result.json, votes.csv, figure.png and figure.pdf. The paper's raters
saw six views of each scene, ours see turntables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import plots
import sweeps

from gsd.cli.errors import guarded
from gsd.errors import GsdError
from gsd.tools.study.analyse import COLUMNS, PAPER, write
from gsd.tools.study.make import make
from gsd.tools.study.study import QUESTIONS, VOTES, Study, load, trials
from gsd.tools.study.votes import Answer, Choice, Votes

BASELINES = ("gaussiandreamer", "prolificdreamer_3dfuse")  # of the paper's study
RUNS = {"prompt": "a full body of a cat with a hat,an owl", "seed": "0", "scale": "laptop"}
CORRELATION = 0.1  # of a made-up rater's votes
RATERS = 39  # made-up ones, as many as in the paper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="A B", help="as for gsd study make")
    parser.add_argument("--run", nargs="*", metavar="KEY=VALUE", help="make the runs first, in multirun/table1")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (1); more: pip install -e '.[cluster]'")
    parser.add_argument("--out", type=Path, default=Path("outputs/table1"))
    parser.add_argument("--names", nargs=2, default=["Baseline", "Baseline + GSD (ours)"], metavar=("A", "B"))
    parser.add_argument("--simulate", type=float, metavar="P", help="made-up raters who prefer B with this probability")
    parser.add_argument("--raters", type=int, default=RATERS, help="made-up ones (39)")
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if args.sets and args.run is not None:
        raise GsdError("--run makes its own sets; give either it or A and B.")
    simulated = ""
    if args.simulate is not None:
        if not (0 < args.simulate < 1 and args.raters > 0):
            raise GsdError("--simulate lies between 0 and 1; --raters is at least 1.")
        simulated = f"{args.raters} raters made up by a program, who prefer B with probability {args.simulate:g}"
    sets = args.sets if args.run is None else run(args.run, args.jobs)
    if sets:
        make(sets, args.out, tuple(args.names), simulated=simulated)
    study = load(args.out)
    if simulated and not study.simulated:
        raise GsdError(f"{args.out} is for people; --simulate makes a study of its own from A and B: give these too.")
    if simulated:
        vote(args.out, study, args.raters, args.simulate)
    elif not (args.out / VOTES).exists():
        print(f"{args.out} is ready: gsd study serve {args.out}, then python experiments/figures/table1.py")
        return
    print(write(args.out))
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


def vote(folder: Path, study: Study, raters: int, preference: float) -> None:
    """Made-up raters, whose own preferences for B have a beta distribution, and who never prefer a spoilt scene."""
    rng, strength = np.random.default_rng(study.seed), 1 / CORRELATION - 1
    with closing(Votes(folder, study)) as votes:
        for taste in rng.beta(preference * strength, (1 - preference) * strength, raters):
            name = votes.enrol()
            number, _ = votes.standing(name)
            for position, trial in enumerate(trials(study, number)):
                chosen = rng.random(len(QUESTIONS)) < (0 if trial.kind == "broken" else taste)
                sides: list[Choice] = ["left" if b == (trial.left == "b") else "right" for b in chosen]
                choices = dict(zip(QUESTIONS, sides, strict=True))
                votes.answer(name, Answer(position=position, choices=choices, seconds=10.0))


def draw(study: Study, result: dict[str, Any], folder: Path) -> None:
    """The preference for B on every question with its intervals, and the paper's."""
    figure = plots.figure(5.6, 2.5)
    axis = figure.subplots()
    places = np.arange(len(COLUMNS))
    for way, width in (("raters_and_prompts", 1.2), ("raters", 4.0)):
        found = [question[way] for question in result["questions"].values()]
        low, high = (np.array([each[end] for each in found], float) for end in ("low", "high"))  # null is nan
        label = f"95 %, {way.replace('_', ' ')}"
        axis.hlines(places - 0.1, low, high, color="#0a63b0", lw=width, label=label)
    raters, ours = ("SIMULATED raters, no people", "simulated") if study.simulated else ("raters", "ours")
    axis.plot([each["value"] for each in found], places - 0.1, "o", color="#0a63b0", mec="white", label=ours)
    axis.plot([share for share, _ in PAPER.values()], places + 0.16, "D", color="#c00000", mec="white", label="paper")
    axis.axvline(0.5, color="0.5", lw=0.8, ls="--", zorder=0)
    axis.set(yticks=places, yticklabels=list(COLUMNS.values()), ylim=(len(COLUMNS) - 0.5, -0.5), xlim=(0, 1))
    axis.set(xlabel=f"share of votes for {study.names[1]}", title=f"{result['raters']} {raters}")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.legend(loc="center left", frameon=False, fontsize=8)
    for name in ("figure.png", "figure.pdf"):
        figure.savefig(folder / name, dpi=170)


if __name__ == "__main__":
    main()
