"""What stops Janus: view guidance against score distillation alone, as the second half of docs/protocol.md says.

    python experiments/figures/cure.py --run                            # part 1, seed by seed: 288 runs of about 8 s
    python experiments/figures/cure.py --run --words 1 --seeds 10       # another of its parts
    python experiments/figures/cure.py --run --name cure_tiny prior=tiny --bias 8 --animals fox pig  # another prior
    python experiments/figures/cure.py --also docs/results/cure.csv     # with the published runs, without --run

Twelve animals that no setting was chosen on, in the world of claims.py but for a single view per step. A method's
strength follows the guidance scale, as the theory in docs/janus.md asks. Writes what janus.py writes, with the goals of
the protocol on top.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import janus
import janus_report
import sweeps
from outcomes import AXES, Outcome, Setting, among

from gsd.errors import GsdError

LOOKED_AT = frozenset(
    ("cat with a hat", "goose made out of gold", "owl", "corgi", "elephant", "teddy bear", "penguin", "meercat")
)
FRESH = tuple(subject for subject in janus.SUBJECTS if subject.split(" ", 1)[1] not in LOOKED_AT)
WORLD = ("camera.views=1", "camera.resolution=64", "noising=random", "loss=none")
MENAGERIE = ("prior.variants=1",)
CALLS = 1200
SEEDS = range(10, 15)
SCALES, BIASES, WORDS = (1.0, 3.0, 7.5), (4.0, 8.0), (4.0,)


class Method(NamedTuple):
    """View guidance `times` as strong as that by the text, or the preset janus_cure with its first strength."""

    times: float = 0.0
    opposed: bool = False  # what the text says against the view is projected out
    cure: float | None = None  # view_scale while the pose is decided

    def settings(self, scale: float) -> list[str]:
        """At a guidance scale, without it."""
        if self.cure is not None:
            strength = f"guidance.view_scale.values=[{self.cure},{self.cure}]"
            guided = f"guidance.guidance_scale.values=[1.0,{scale:g}]"
            return ["experiment=janus_cure", guided, *([strength] if self.cure != PRESET else [])]
        view = [f"guidance.view_scale={self.times * scale:g}"] if self.times else []
        return [*view, *(["guidance.view_projection=opposed"] if self.opposed else [])]

    def strengths(self, scale: float) -> tuple[float, float]:
        """Of guidance by text and view while the pose is decided."""
        return (scale, self.times * scale) if self.cure is None else (1.0, self.cure)

    def steps(self, scale: float, views: int = 1) -> int:
        """As many as have the same prior calls: a branch each for text and view, and one for the empty text.

        Without guidance by the text the empty one is not asked, but where something of that guidance is projected out.
        """
        text = 1 if scale == 1 and not self.opposed else 2
        if self.cure is not None:  # without guidance by the text in its first half
            return CALLS // views * 2 // (2 + text + 1)
        return CALLS // views // (text + bool(self.times))


PRESET = 10.0  # view_scale in the first half of experiment=janus_cure
METHODS = {
    "SDS": Method(),
    "5 g": Method(5),
    "2 g, opposed": Method(2, opposed=True),
    "janus_cure": Method(cure=PRESET),
}
OTHERS = {  # weaker for networks, stronger for weak words
    "1 g": Method(1),
    "2 g": Method(2),
    "1 g, opposed": Method(1, opposed=True),
    "janus_cure, s = 40": Method(cure=40.0),
    "janus_cure, s = 80": Method(cure=80.0),
}
ALL = METHODS | OTHERS
WITHIN = (("2 g, opposed", "5 g"), ("janus_cure", "5 g"), ("janus_cure", "2 g, opposed"))
COHERENT, JANUS = 0.9, 0.05  # goals: at least, at most


def command(method: Method, scale: float, overrides: Sequence[str] = ()) -> list[str]:
    """The settings of a run; `overrides` are of all methods."""
    guided = [] if method.cure is not None else [f"{AXES['scale']}={scale:g}"]
    settings = sweeps.typed([*world(overrides), *method.settings(scale), *guided])
    settings["steps"] = str(method.steps(scale, int(settings["camera.views"])))
    return [f"{key}={value}" for key, value in settings.items()]


def world(overrides: Sequence[str]) -> list[str]:
    """What all runs have; another prior than the menagerie lacks some of its settings."""
    settings = sweeps.typed([*WORLD, *(() if janus.another_prior(overrides) else MENAGERIE), *overrides])
    return [f"{key}={value}" for key, value in settings.items()]


def launch(args: argparse.Namespace) -> None:
    """Seed by seed, so that those that there is time for are whole."""
    subjects = f"prompt={','.join(janus.animals(args, FRESH))}"
    bias = f"{AXES['bias']}={','.join(f'{bias:g}' for bias in args.bias)}"
    words = [[]] if janus.another_prior(args.overrides) else [[f"{AXES['words']}={each:g}"] for each in args.words]
    for seed, word, scale, name in product(janus.seeds(args.seeds), words, args.scale, args.methods):
        settings = command(ALL[name], scale, args.overrides)
        sweeps.launch(args.name, [*janus.SMALL, *settings, *word, bias, subjects], [seed], args.jobs)


def named(outcomes: Sequence[Outcome], scales: Sequence[float] = SCALES) -> list[Outcome]:
    """Those of ALL, by name and at the guidance scale that they follow."""
    return [replace(each, method=found[0], scale=found[1]) for each in outcomes if (found := _named(each, scales))]


def _named(outcome: Outcome, scales: Sequence[float]) -> tuple[str, float] | None:
    if outcome.method in ALL:  # of a runs.csv
        return outcome.method, outcome.scale
    for name, method in ALL.items():
        for scale in [outcome.scale] if method.cure is None else scales:
            if {*method.settings(scale)} == {*outcome.method.split()}:
                return name, scale
    return None


def predicted(method: str, setting: Setting) -> tuple[bool, float]:
    """By the sums of log-weights in docs/janus.md: is the back seen from behind, and how many degrees are sides off."""
    text, view = ALL[method].strengths(setting.scale)
    bias, words = text * setting.bias, (text + 2 * view) * setting.words
    return words > bias or ALL[method].opposed, math.degrees(math.atan2(bias, words))


def price(outcomes: Sequence[Outcome], sds: Sequence[Outcome]) -> str:
    """The PSNR that a method gains over SDS where both are coherent; empty where there is no such pair."""
    mine, theirs = ([o for o in some if o.coherent] for some in (outcomes, sds))
    found = janus_report.effect(mine, theirs, "psnr")
    return format(found.mean, "+.1f") if found and outcomes[0].method != "SDS" else ""


def goals(outcomes: Sequence[Outcome]) -> janus_report.Table:
    """Per setting and method, whether the protocol's goals are reached: by the share itself, and by its interval."""
    rows = []
    for setting, method in product(sorted({o.setting for o in outcomes}), ALL):
        mine = [o for o in outcomes if (o.setting, o.method) == (setting, method)]
        coherent, many = (janus_report.estimate(mine, quantity) for quantity in ("coherent", "janus"))
        if coherent and many:
            reached = coherent.value >= COHERENT and many.value <= JANUS
            missed = coherent.high < COHERENT or many.low > JANUS
            verdict = "reached" if reached else "missed beyond doubt" if missed else "missed"
            back, side = predicted(method, setting)
            row = {"setting": str(setting), "method": method, "runs": len(mine)}
            row |= {q: f"{sum(getattr(o, q) for o in mine):.0f}" for q in ("coherent", "janus")}
            row |= {"goals": verdict, "price, dB": price(mine, [o for o in outcomes if o.method == "SDS"])}
            row["view error"] = f"{statistics.median(o.view_error for o in mine):.0f}"
            rows.append(row | {"theory: back": "yes" if back else "no", "theory: sides off by": f"{side:.0f}"})
    return rows


def _main(args: argparse.Namespace) -> None:
    if args.run:
        launch(args)
    args.overrides = world(args.overrides)
    wanted = {axis: getattr(args, axis) for axis in AXES} | {"seed": janus.seeds(args.seeds), "method": args.methods}
    found = among(named(janus.collect(args), args.scale), wanted)
    if not found:
        raise GsdError(f"No run of multirun/{args.name} has these settings; add --run to launch what is missing.")
    methods = {name: name for name in args.methods}
    sections = {"Goals": goals(found)} | janus_report.sections(found, methods, {"defaults": ""}, WITHIN)
    sweeps.publish(args.out, janus_report.draw(found, methods), sections, janus_report.text(sections))
    janus.keep(args.out, found)


def main() -> None:
    options = sweeps.parser(__doc__, "cure")
    options.add_argument(
        "--methods", nargs="+", choices=list(ALL), default=list(METHODS), help=f"({', '.join(METHODS)})"
    )
    for axis, values in (("bias", BIASES), ("words", WORDS), ("scale", SCALES)):
        text = " ".join(f"{value:g}" for value in values)
        options.add_argument(f"--{axis}", nargs="+", type=float, default=values, help=f"{AXES[axis]} ({text})")
    janus.add_animals(options, FRESH)
    options.add_argument("--seeds", default=f"{SEEDS[0]}-{SEEDS[-1]}", help=f"({SEEDS[0]}-{SEEDS[-1]})")
    options.add_argument("--also", type=Path, help="a runs.csv of an earlier call, to read as well")
    sweeps.start(options, _main)


if __name__ == "__main__":
    main()
