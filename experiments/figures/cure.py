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
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import janus
import janus_report
import sweeps
from outcomes import AXES, Outcome, Setting

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
METHODS: dict[str, Callable[[float], list[str]]] = {  # settings at guidance scale g
    "SDS": lambda g: [],
    "5 g": lambda g: [f"guidance.view_scale={5 * g:g}"],
    "2 g, opposed": lambda g: [f"guidance.view_scale={2 * g:g}", "guidance.view_projection=opposed"],
    "janus_cure": lambda g: ["experiment=janus_cure", f"guidance.guidance_scale.values=[1.0,{g:g}]"],
}
OTHERS: dict[str, Callable[[float], list[str]]] = {  # weaker for networks, stronger for weak words
    "1 g": lambda g: [f"guidance.view_scale={g:g}"],
    "2 g": lambda g: [f"guidance.view_scale={2 * g:g}"],
    "1 g, opposed": lambda g: [f"guidance.view_scale={g:g}", "guidance.view_projection=opposed"],
    "janus_cure, s = 40": lambda g: [*METHODS["janus_cure"](g), "guidance.view_scale.values=[40.0,40.0]"],
}
ALL = METHODS | OTHERS
STRENGTHS: dict[str, Callable[[float], tuple[float, float]]] = {  # of text and view while the pose is decided
    "SDS": lambda g: (g, 0.0),
    "5 g": lambda g: (g, 5 * g),
    "2 g, opposed": lambda g: (g, 2 * g),
    "janus_cure": lambda g: (1.0, 10.0),
    "1 g": lambda g: (g, g),
    "2 g": lambda g: (g, 2 * g),
    "1 g, opposed": lambda g: (g, g),
    "janus_cure, s = 40": lambda g: (1.0, 40.0),
}
WITHIN = (("2 g, opposed", "5 g"), ("janus_cure", "5 g"), ("janus_cure", "2 g, opposed"))
COHERENT, JANUS = 0.9, 0.05  # goals: at least, at most


def steps(method: str, scale: float, views: int = 1) -> int:
    """As many as have the same prior calls: a branch each for text and view, and one for the empty text.

    Without guidance by the text the empty one is not asked, but where something of that guidance is projected out.
    """
    calls = CALLS // views
    text = 1 if scale == 1 and "opposed" not in method else 2
    if method == "SDS":
        return calls // text
    if "janus_cure" in method:  # without guidance by the text in its first half
        return calls * 2 // (2 + text + 1)
    return calls // (text + 1)


def command(method: str, scale: float, overrides: Sequence[str] = ()) -> list[str]:
    """The settings of a run; `overrides` are of all methods."""
    guided = [] if "janus_cure" in method else [f"{AXES['scale']}={scale:g}"]
    settings = sweeps.typed([*world(overrides), *ALL[method](scale), *guided])
    settings |= {"steps": str(steps(method, scale, int(settings["camera.views"])))}
    return [f"{key}={value}" for key, value in settings.items()]


def world(overrides: Sequence[str]) -> list[str]:
    """What all runs have; another prior than the menagerie lacks some of its settings."""
    settings = sweeps.typed([*WORLD, *(() if _another_prior(overrides) else MENAGERIE), *overrides])
    return [f"{key}={value}" for key, value in settings.items()]


def _another_prior(overrides: Sequence[str]) -> bool:
    return sweeps.typed(overrides).get("prior", "menagerie") != "menagerie"


def launch(args: argparse.Namespace) -> None:
    """Seed by seed, so that those that there is time for are whole."""
    subjects = f"prompt={','.join(janus.animals(args, FRESH))}"
    words = [] if _another_prior(args.overrides) else args.words
    for seed, word, scale, method in product(janus.seeds(args.seeds), words or [None], args.scale, args.methods):
        axes = [f"{AXES['bias']}={','.join(f'{bias:g}' for bias in args.bias)}", subjects]
        if word is not None:
            axes.insert(0, f"{AXES['words']}={word:g}")
        sweeps.launch(args.name, [*janus.SMALL, *command(method, scale, args.overrides), *axes], [seed], args.jobs)


def named(outcomes: Sequence[Outcome], scales: Sequence[float] = SCALES) -> list[Outcome]:
    """Those of ALL, by name and at the guidance scale that they follow."""
    return [replace(each, method=found[0], scale=found[1]) for each in outcomes if (found := _named(each, scales))]


def _named(outcome: Outcome, scales: Sequence[float]) -> tuple[str, float] | None:
    if outcome.method in ALL:  # of a runs.csv
        return outcome.method, outcome.scale
    for method, of in ALL.items():
        for scale in scales if "janus_cure" in method else [outcome.scale]:
            if {*of(scale)} == {*outcome.method.split()}:
                return method, scale
    return None


def predicted(method: str, setting: Setting) -> tuple[bool, float]:
    """By the sums of log-weights in docs/janus.md: is the back seen from behind, and how many degrees are sides off."""
    text, view = STRENGTHS[method](setting.scale)
    bias, words = text * setting.bias, (text + 2 * view) * setting.words
    return words > bias or "opposed" in method, math.degrees(math.atan2(bias, words))


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
    outcomes = named(janus.collect(args), args.scale)
    found = [o for o in outcomes if all(getattr(o, key) in values for key, values in wanted.items())]
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
