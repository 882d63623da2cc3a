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
from outcomes import AXES, MENAGERIE, Outcome, Setting, among

from gsd.errors import GsdError
from gsd.statistics.estimates import Estimate

LOOKED_AT = frozenset(
    ("cat with a hat", "goose made out of gold", "owl", "corgi", "elephant", "teddy bear", "penguin", "meercat")
)
FRESH = tuple(subject for subject in janus.SUBJECTS if subject.split(" ", 1)[1] not in LOOKED_AT)
WORLD = ("camera.views=1", "camera.resolution=64", "noising=random", "loss=none")
ONE_VARIANT = ("prior.variants=1",)  # of the menagerie
CALLS = 1200
SEEDS = range(10, 15)
SCALES, BIASES, WORDS = (1.0, 3.0, 7.5), (4.0, 8.0), (4.0,)


class Method(NamedTuple):
    """View guidance `times` as strong as that by the text, or the preset janus_cure with its first strength."""

    times: float = 0.0
    opposed: bool = False  # what the text says against the view is projected out
    cure: float | None = None  # view_scale while the pose is decided
    plain: bool = False  # away from the prompt without view words, not from the opposite view
    until: float = 1.0  # the share of a cure's steps after which view_scale is 0

    def settings(self, scale: float) -> list[str]:
        """At a guidance scale."""
        away = ["prompting.away_from=plain"] if self.plain else []
        if self.cure is not None:
            guided = f"guidance.guidance_scale.values=[1.0,{scale:g}]"
            return ["experiment=janus_cure", guided, *self._strength(), *away]
        view = [f"guidance.view_scale={self.times * scale:g}"] if self.times else []
        opposed = ["guidance.view_projection=opposed"] if self.opposed else []
        return [f"{AXES['scale']}={scale:g}", *view, *opposed, *away]

    @property
    def decided(self) -> float:
        """The share of a cure's steps in which the pose is decided: without guidance by the text."""
        return min(0.5, self.until)

    def _strength(self) -> list[str]:
        """What differs from the preset's."""
        if self.until == 1:
            return [] if self.cure == PRESET else [f"guidance.view_scale.values=[{self.cure},{self.cure}]"]
        decided, ends = (f"${{gsd.step:{share * 600:g},600}}" for share in (self.decided, self.until))
        if self.until > self.decided:
            return [
                f"guidance.view_scale.values=[{self.cure},{SECOND},0.0]",
                f"guidance.view_scale.at=[{decided},{ends}]",
            ]
        at = [f"guidance.{name}.at=[{ends}]" for name in ("guidance_scale", "view_scale")]
        return [f"guidance.view_scale.values=[{self.cure},0.0]", *at]

    def strengths(self, scale: float) -> list[tuple[float, float]]:
        """Of guidance by text, and how often view guidance counts the words; while the pose is decided, and then."""
        counted = 1 if self.plain else 2
        if self.cure is None:
            return [(scale, counted * self.times * scale)]
        then = SECOND if self.cure == PRESET else self.cure
        second = [(scale, counted * then)] if self.until > self.decided else []
        last = [(scale, 0.0)] if self.until < 1 else []
        return [(1.0, counted * self.cure), *second, *last]

    def steps(self, scale: float, views: int = 1) -> int:
        """As many as have the same prior calls: a branch each for text and view, and one for the empty text.

        Without guidance by the text the empty one is not asked, but where something of that guidance is projected out.
        """
        text = 1 if scale == 1 and not self.opposed else 2
        if self.cure is not None:
            return int(CALLS // views / (self.decided + (1 - self.decided) * text + self.until))
        return CALLS // views // (text + bool(self.times))


class Rival(NamedTuple):
    """A published way against Janus, by its preset, which has a guidance scale of its own."""

    preset: str
    branches: int  # calls per view
    views: int = 1
    own_scale: float | None = None  # the preset's where None

    def settings(self, _: float) -> list[str]:
        scale = [] if self.own_scale is None else [f"{AXES['scale']}={self.own_scale:g}"]
        return [*self.preset.split(), f"camera.views={self.views}", *scale]

    def steps(self, _: float, __: int = 1) -> int:
        return CALLS // self.views // self.branches


PRESET, SECOND = 10.0, 5.0  # view_scale in the halves of experiment=janus_cure
METHODS = {
    "SDS": Method(),
    "5 g": Method(5),
    "2 g, opposed": Method(2, opposed=True),
    "janus_cure": Method(cure=PRESET),
}
OTHERS = {  # weaker for networks, stronger for weak words, strong guidance and fields
    "1 g": Method(1),
    "2 g": Method(2),
    "1 g, opposed": Method(1, opposed=True),
    "janus_cure, s = 20": Method(cure=20.0),
    "janus_cure, s = 40": Method(cure=40.0),
    "janus_cure, s = 80": Method(cure=80.0),
    "janus_cure, until 5/6": Method(cure=PRESET, until=5 / 6),
    "janus_cure, until 2/3": Method(cure=PRESET, until=2 / 3),
    "janus_cure, until 7/12": Method(cure=PRESET, until=7 / 12),
    "janus_cure, until 1/2": Method(cure=PRESET, until=1 / 2),
    "janus_cure, until 1/3": Method(cure=PRESET, until=1 / 3),
    "janus_cure, until 1/4": Method(cure=PRESET, until=1 / 4),
    "janus_cure, s = 40 until 1/2": Method(cure=40.0, until=1 / 2),
    "janus_cure, s = 80 until 1/2": Method(cure=80.0, until=1 / 2),
    "1 g from plain": Method(1, plain=True),
    "2.5 g from plain": Method(2.5, plain=True),
    "5 g from plain": Method(5, plain=True),
    "10 g from plain": Method(10, plain=True),
    "janus_cure, s = 20 from plain": Method(cure=20.0, plain=True),
}
RIVALS = {
    "Perp-Neg": Rival("experiment=perp_neg", 4),
    "plain negative": Rival("experiment=plain_negative", 2),
    "plain negative, 12": Rival("experiment=plain_negative", 2, own_scale=12),  # for weaker words
    "plain negative, 24": Rival("experiment=plain_negative", 2, own_scale=24),
    "plain negative, 48": Rival("experiment=plain_negative", 2, own_scale=48),
    "front negative": Rival("experiment=front_negative", 2),
    "D-SDS": Rival("experiment=debiased_sds", 1),
    "ESD, exact": Rival("guidance=esd_exact", 1),
    "RecDreamer": Rival("experiment=recdreamer", 6),
    "oracle": Rival("experiment=oracle", 1, views=4),
}
ALL: dict[str, Method | Rival] = {**METHODS, **OTHERS, **RIVALS}
WITHIN = (("2 g, opposed", "5 g"), ("janus_cure", "5 g"), ("janus_cure", "2 g, opposed"))
COHERENT, JANUS, PRICE = 0.9, 0.05, 1.0  # goals: at least, at most, and at most so many dB less than SDS


def command(method: Method | Rival, scale: float, overrides: Sequence[str] = ()) -> list[str]:
    """The settings of a run; `overrides` are of all methods."""
    settings = sweeps.typed([*world(overrides), *method.settings(scale)])
    settings["steps"] = str(method.steps(scale, int(settings["camera.views"])))
    return [f"{key}={value}" for key, value in settings.items()]


def world(overrides: Sequence[str]) -> list[str]:
    """What all runs have; another prior or representation lacks some of these settings."""
    gaussians = sweeps.typed(overrides).get("representation", "gaussians") == "gaussians"
    variants = () if janus.another_prior(overrides) else ONE_VARIANT
    settings = janus.former(sweeps.typed([*WORLD, *variants, *(janus.EARLIER if gaussians else ()), *overrides]))
    return [f"{key}={value}" for key, value in settings.items()]


def launch(args: argparse.Namespace) -> None:
    """Seed by seed, so that those that there is time for are whole."""
    subjects = f"prompt={','.join(janus.animals(args, FRESH))}"
    bias = f"{AXES['bias']}={','.join(f'{bias:g}' for bias in args.bias)}"
    words = [[]] if janus.another_prior(args.overrides) else [[f"{AXES['words']}={each:g}"] for each in args.words]
    if args.scale != [1.0] and (own := [name for name in args.methods if name in RIVALS]):
        raise GsdError(f"{own[0]} has a guidance scale of its own; add --scale 1, the table in which it stands.")
    for seed, word, scale, name in product(janus.seeds(args.seeds), words, args.scale, args.methods):
        settings = command(ALL[name], scale, args.overrides)
        sweeps.launch(args.name, [*janus.SMALL, *settings, *word, bias, subjects], [seed], args.jobs)


def named(outcomes: Sequence[Outcome], scales: Sequence[float] = SCALES) -> list[Outcome]:
    """Those of ALL, by name and at the guidance scale that they follow; of a run that is also published, once."""
    known = [replace(each, method=found[0], scale=found[1]) for each in outcomes if (found := _named(each, scales))]
    return list({(each.method, each.pair): each for each in reversed(known)}.values())[::-1]


def _named(outcome: Outcome, scales: Sequence[float]) -> tuple[str, float] | None:
    if outcome.method in ALL:  # of a runs.csv
        return outcome.method, outcome.scale
    had = _own(outcome.method.split())
    for name, method in ALL.items():
        if isinstance(method, Rival):
            if _own(method.settings(1)) == had and outcome.scale == (method.own_scale or 1.0):
                return name, 1.0  # the table in which it stands
            continue
        several = method.cure is not None  # the scale is among the settings
        for scale in scales if several else [outcome.scale]:
            if _own(method.settings(scale)) == had:
                return name, scale
    return None


def _own(settings: Sequence[str]) -> set[str]:
    """Those that tell methods apart, as they were typed; a sweep escapes what it writes down."""
    return {
        each.replace("\\", "") for each in settings if each.partition("=")[0] not in (AXES["scale"], "camera.views")
    }


def predicted(method: str, setting: Setting) -> tuple[bool, float] | None:
    """By the sums of log-weights in docs/janus.md: is the back seen from behind, and how many degrees are sides off?

    The back must win to the end; sides are as they were when the pose was decided. None for rivals and other priors.
    """
    found = ALL[method]
    if isinstance(found, Rival) or setting.prior != MENAGERIE:
        return None
    against = [(g * setting.bias, (g + s) * setting.words) for g, s in found.strengths(setting.scale)]
    seen = found.opposed or all(words > bias for bias, words in against)
    return seen, math.degrees(math.atan2(*against[0]))


def price(outcomes: Sequence[Outcome], sds: Sequence[Outcome]) -> Estimate | None:
    """The PSNR that a method gains over SDS where both are coherent; None where there is no such pair."""
    mine, theirs = ([o for o in some if o.coherent] for some in (outcomes, sds))
    found = janus_report.effect(mine, theirs, "psnr")
    return found.mean if found and outcomes[0].method != "SDS" else None


def goals(outcomes: Sequence[Outcome], named_sides: bool = True) -> janus_report.Table:
    """Per setting and method, whether the protocol's three goals are reached: by the values, and by their intervals.

    The theory is of texts that name the side: where a text is its own opposite, nothing is led away from it.
    """
    rows = []
    for setting, method in product(sorted({o.setting for o in outcomes}), ALL):
        mine = [o for o in outcomes if (o.setting, o.method) == (setting, method)]
        coherent, many = (janus_report.estimate(mine, quantity) for quantity in ("coherent", "janus"))
        if coherent and many:
            cost = price(mine, [o for o in outcomes if o.method == "SDS"])
            row = {"setting": str(setting), "method": method, "runs": len(mine)}
            row |= {q: f"{sum(getattr(o, q) for o in mine):.0f}" for q in ("coherent", "janus")}
            row |= {"goals": verdict(coherent, many, cost), "price, dB": format(cost, "+.1f") if cost else ""}
            row["view error"] = f"{statistics.median(o.view_error for o in mine):.0f}"
            theory = predicted(method, setting) if named_sides else None
            row["theory: back"] = "" if theory is None else "yes" if theory[0] else "no"
            rows.append(row | {"theory: sides off by": "" if theory is None else f"{theory[1]:.0f}"})
    return rows


def verdict(coherent: Estimate, many: Estimate, cost: Estimate | None) -> str:
    """`cost` is the PSNR gained, None where nothing says so: it is no goal there."""
    if coherent.high < COHERENT or many.low > JANUS or (cost and cost.high < -PRICE):
        return "missed beyond doubt"
    shares = round(coherent.value, 9) >= COHERENT and round(many.value, 9) <= JANUS  # a mean of twelfths is not exact
    if shares and (cost is None or cost.value >= -PRICE):
        return "reached"
    return "missed, the price alone" if shares else "missed"


def _main(args: argparse.Namespace) -> None:
    if args.run:
        launch(args)
    named_sides = "prompting" not in sweeps.typed(args.overrides)
    args.overrides = world(args.overrides)
    wanted = {axis: getattr(args, axis) for axis in AXES} | {"seed": janus.seeds(args.seeds), "method": args.methods}
    found = among(named(janus.collect(args), args.scale), wanted)
    if not found:
        raise GsdError(f"No run of multirun/{args.name} has these settings; add --run to launch what is missing.")
    methods = {name: name for name in args.methods}
    sections = {"Goals": goals(found, named_sides)} | janus_report.sections(found, methods, {"defaults": ""}, WITHIN)
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
