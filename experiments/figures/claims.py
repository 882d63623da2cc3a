"""Claims a and b of docs/protocol.md, tested as it says on the runs of its first part.

    python experiments/figures/claims.py --run --jobs 2                   # 800 runs of about 10 s, seed by seed
    python experiments/figures/claims.py                                  # only reads multirun/claims
    python experiments/figures/claims.py --also docs/results/claims.csv   # with the published runs

Only whole seeds count, those of which all animals, cells and settings are there. Writes what janus.py writes, with the
verdicts on top.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import janus
import janus_report
import sweeps
from outcomes import AXES, Outcome, Setting

from gsd.errors import GsdError
from gsd.statistics.pairs import Difference, holm

SETTINGS = (Setting(4.0, 4.0, 1.0, ""), Setting(3.0, 4.0, 7.5, ""))
SEEDS = range(10, 15)
OVERRIDES = ("camera.resolution=64", "prior.variants=1", *janus.EARLIER)
LEAST_CORRELATION, LEAST_COVERAGE = 0.5, 0.95  # of neighbouring views' noise; of the object's pixels
AIM, FACTOR = 0.1, 2.0  # of the loss's share
FAILING = 0.1  # the largest share of a cell's runs in which the method was off
SIGNIFICANT, WORTH_HAVING = 0.05, 0.1  # p; coherent runs

Cells = Mapping[str, list[Outcome]]


class Claim(NamedTuple):
    setting: Setting
    text: str
    found: Difference
    tested: bool  # the method was on


def whole_seeds(outcomes: Sequence[Outcome], animals: int) -> list[Outcome]:
    """Those of SETTINGS and the four cells, of seeds with all of `animals` in each.

    Raises GsdError when there is none.
    """
    ours = [o for o in outcomes if o.setting in SETTINGS and o.method in janus.CELLS.values()]
    wanted = animals * len(SETTINGS) * len(janus.CELLS)
    whole = {seed for seed in {o.seed for o in ours} if sum(o.seed == seed for o in ours) == wanted}
    if not whole:
        raise GsdError(f"No seed has all {wanted} runs of the protocol's first part; launch them as it says.")
    return [o for o in ours if o.seed in whole]


def was_on(outcome: Outcome) -> bool:
    """Whether the views shared their noise and the loss had about its share, as far as the method has these parts."""
    noise, loss = ("=consistent" in outcome.method, "=consistency" in outcome.method)
    shared = outcome.correlation >= LEAST_CORRELATION and outcome.coverage >= LEAST_COVERAGE
    weighty = AIM / FACTOR <= outcome.share <= AIM * FACTOR
    return (shared or not noise) and (weighty or not loss)


def cells(outcomes: Sequence[Outcome], setting: Setting) -> Cells:
    return {
        name: [o for o in outcomes if (o.method, o.setting) == (method, setting)]
        for name, method in janus.CELLS.items()
    }


def claims(outcomes: Sequence[Outcome]) -> list[Claim]:
    found = []
    for setting in SETTINGS:
        of = cells(outcomes, setting)
        on = {name: sum(map(was_on, some)) >= (1 - FAILING) * len(some) for name, some in of.items()}
        noise = janus_report.effect(of["3D noise"], of["SDS"], "coherent")
        both = janus_report.interaction(of, "coherent")
        assert noise is not None
        assert both is not None
        found.append(Claim(setting, "a: 3D noise - SDS", noise, on["3D noise"]))
        found.append(Claim(setting, "b: GSD - 3D noise - (loss - SDS)", both, all(on.values())))
    return found


def verdict(claim: Claim, adjusted: float) -> str:
    """In the protocol's words."""
    if not claim.tested:
        return "not tested"
    if adjusted < SIGNIFICANT and claim.found.mean.value > 0:
        return "supported"
    return "refuted in size" if claim.found.mean.high < WORTH_HAVING else "open"


def verdicts(found: Sequence[Claim]) -> janus_report.Table:
    return [
        {
            "setting": str(claim.setting),
            "claim": claim.text,
            "coherent, points": format(claim.found.mean * 100, "+.1f"),  # a tenth shows whether 10 is excluded
            "p": f"{claim.found.p:.2g}",
            "adjusted p": f"{adjusted:.2g}",
            "verdict": verdict(claim, adjusted),
        }
        for claim, adjusted in zip(found, holm([claim.found.p for claim in found]), strict=True)
    ]


def switched_on(outcomes: Sequence[Outcome]) -> janus_report.Table:
    """Per setting and cell, the ranges over runs of what `was_on` looks at; empty for parts that a cell lacks."""
    columns = {"correlation": "noise/correlation", "coverage": "noise/coverage", "share": "loss/consistency/share"}
    rows = []
    for setting in SETTINGS:
        for name, some in cells(outcomes, setting).items():
            row = {"setting": str(setting), "cell": name, "runs": len(some), "on": sum(map(was_on, some))}
            ranges = {title: _range([getattr(o, key) for o in some]) for key, title in columns.items()}
            rows.append(row | ranges)
    return rows


def _range(values: Sequence[float]) -> str:
    return "" if math.isnan(values[0]) else f"{min(values):.2f} to {max(values):.2f}"


def launch(args: argparse.Namespace) -> None:
    """Seed by seed, so that those that there is time for are whole."""
    for seed in SEEDS:
        for setting in SETTINGS:
            axes = {axis: [getattr(setting, axis)] for axis in AXES} | {"seeds": str(seed)}
            janus.launch(argparse.Namespace(**vars(args), **axes, methods=None, regimes=None))


def _main(args: argparse.Namespace) -> None:
    args.overrides = [*OVERRIDES, *args.overrides]
    if args.run:
        launch(args)
    found = whole_seeds(janus.collect(args), len(janus.animals(args, janus.SUBJECTS)))
    tables = {"Claims": verdicts(claims(found)), "Was the method on?": switched_on(found)}
    sections = tables | janus_report.sections(found, janus.CELLS, {"defaults": ""})
    seeds = ", ".join(map(str, sorted({o.seed for o in found})))
    text = f"Seeds {seeds}.\n\n{janus_report.text(sections)}"
    sweeps.publish(args.out, janus_report.draw(found, janus.CELLS), sections, text)
    janus.keep(args.out, found)


def main() -> None:
    options = sweeps.parser(__doc__, "claims")
    janus.add_animals(options, janus.SUBJECTS)
    options.add_argument("--also", type=Path, help="a runs.csv of an earlier call, to read as well")
    sweeps.start(options, _main)


if __name__ == "__main__":
    main()
