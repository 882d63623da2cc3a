"""The Janus benchmark: what becomes of every animal by each method, on axes that can be chosen.

    python experiments/figures/janus.py --run --jobs 2                    # the four cells: 4,000 runs of about 8 s
    python experiments/figures/janus.py --run --bias 8 --scale 1 --words 0 4 --methods SDS GSD
    python experiments/figures/janus.py --seeds 5-9                       # only reads multirun/janus, of these seeds
    python experiments/figures/janus.py --also docs/results/janus.csv     # with the published runs, without --run

Animals x seeds x methods x settings on the menagerie, where the right answer is known. A setting is a point on the
axes: view_bias, view_words, the scale of classifier-free guidance, and a regime that all methods share; and the prior,
where another one is given (prior=tiny). A run is coherent, Janus, turned or empty: see gsd.results.outcome.

Methods are compared within a setting, pair by pair of the same animal and seed, and so the same start, cameras and
noise levels. Animals are the units: intervals of 95 % and p are over their means, as gsd.statistics says. Pairs have
equal prior calls, or nothing is compared. Guidance calls the prior twice per view, so that runs with a scale other than
1 have half the steps, and settings of different scales have equal calls too.

Without an axis, --run takes the values that --help has in brackets and a table all that there is. Several settings are
also taken together, each animal's mean being over them. Writes result.json, runs.csv, table.md, figure.png and
figure.pdf.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import janus_report
import sweeps
from outcomes import AXES, FORMER, MENAGERIE, Outcome, among, outcome, read, write

from gsd.errors import GsdError
from gsd.menagerie import load

SUBJECTS = tuple(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in load())
STEPS = 600
SMALL = ("images_every=0", "checkpoint_every=1000", "turntable.views=60", "turntable.resolution=64")
# Of Gaussians in the runs of docs/protocol.md, made before the defaults were changed to sharper scenes
EARLIER = ("init.points=3000", "representation.log_scales_lr=0.008", "representation.opacity_lr=0.04")

CELLS = {
    "SDS": "noising=random loss=none",
    "3D noise": "noising=consistent loss=none",
    "loss": "noising=random loss=consistency",
    "GSD": "noising=consistent loss=consistency",
}
METHODS = CELLS | {
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
REGIMES = {
    "defaults": "",
    "four views": "camera.views=4",  # and half the steps
    "15 degrees apart": "camera.delta_deg=15",
    "30 degrees apart": "camera.delta_deg=30",
    "usual noise range": "sigma.t_min=0.02",
    "no view words": "prompting=plain",
}


def command(method: str, regime: str, scale: float, overrides: Sequence[str]) -> list[str]:
    """The settings of a run, with as many steps as make prior calls equal: STEPS of two views without guidance."""
    settings = former(sweeps.typed([*SMALL, *method.split(), *regime.split(), *overrides]))
    calls = int(settings.get("camera.views", 2)) * (1 if scale == 1 else 2)  # per step
    settings["steps"] = str(int(sweeps.typed(overrides).get("steps", STEPS)) * 2 // calls)
    return [f"{key}={value}" for key, value in settings.items()]


def former(settings: dict[str, str]) -> dict[str, str]:
    """With the kernel of the published runs, where there is one and none is named."""
    return dict([FORMER]) | settings if settings.get("noising") == "consistent" else settings


def seeds(text: str) -> range:
    """Of "0-4" or "7"."""
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        raise GsdError(f"--seeds {text} is no range; write --seeds 0-4.") from None


def add_animals(options: argparse.ArgumentParser, subjects: Sequence[str]) -> None:
    options.add_argument("--animals", nargs="+", help=f"names, or how many of the first ({len(subjects)})")


def animals(args: argparse.Namespace, subjects: Sequence[str]) -> list[str]:
    """The prompts of --animals: of `subjects` the first ones, or of all those that are named."""
    if not args.animals:
        return list(subjects)
    if len(args.animals) == 1 and args.animals[0].isdigit():
        return list(subjects[: int(args.animals[0])])
    by_name = {subject.split(" ", 1)[1]: subject for subject in SUBJECTS}
    if unknown := [name for name in args.animals if name not in by_name]:
        raise GsdError(f"--animals {unknown[0]} is not one of {', '.join(by_name)}.")
    return [by_name[name] for name in args.animals]


def main() -> None:
    options = sweeps.parser(__doc__, "janus")
    options.add_argument("--methods", nargs="+", choices=list(METHODS), help=f"({', '.join(CELLS)})")
    options.add_argument("--bias", nargs="+", type=float, help="prior.view_bias (0 1 2 4 8)")
    options.add_argument("--words", nargs="+", type=float, help="prior.view_words (4)")
    options.add_argument("--scale", nargs="+", type=float, help="guidance.guidance_scale (1 7.5)")
    options.add_argument("--regimes", nargs="+", choices=list(REGIMES), help="(defaults)")
    add_animals(options, SUBJECTS)
    options.add_argument("--seeds", help="a range (0-4)")
    options.add_argument("--also", type=Path, help="a runs.csv, of another machine or an earlier day, to read as well")
    sweeps.start(options, _main)


def another_prior(overrides: Sequence[str]) -> bool:
    """Than the menagerie, which alone has a setting for how strongly view words bind."""
    return sweeps.typed(overrides).get("prior", MENAGERIE) != MENAGERIE


def launch(args: Any) -> None:
    words = {} if another_prior(args.overrides) else {"words": args.words or (4,)}
    for name, regime, scale in product(args.methods or CELLS, args.regimes or ("defaults",), args.scale or (1, 7.5)):
        chosen = {"bias": args.bias or (0, 1, 2, 4, 8), "scale": [scale]} | words
        swept = [f"{AXES[axis]}={','.join(f'{value:g}' for value in values)}" for axis, values in chosen.items()]
        swept.append(f"prompt={','.join(animals(args, SUBJECTS))}")
        settings = command(METHODS[name], REGIMES[regime], scale, args.overrides)
        sweeps.launch(args.name, [*settings, *swept], seeds(args.seeds or "0-4"), args.jobs)


def chosen(outcomes: Sequence[Outcome], args: Any) -> list[Outcome]:
    """Those on the values of the axes that were asked for; all, where none was."""
    wanted: dict[str, Any] = {axis: getattr(args, axis) for axis in AXES}
    wanted["seed"] = args.seeds and seeds(args.seeds)
    wanted["method"] = args.methods and [METHODS[name] for name in args.methods]
    wanted["regime"] = args.regimes and [REGIMES[name] for name in args.regimes]
    return among(outcomes, wanted)


def collect(args: Any) -> list[Outcome]:
    """The outcomes in multirun/NAME, and those of the published runs that are not there."""
    published = read(args.also, list(REGIMES.values())) if args.also else []
    here = Path("multirun", args.name).is_dir() or not published
    everywhere = [*sweeps.typed((*SMALL, *args.overrides)), "name", "threads", "prompt", "seed"]
    found = [outcome(run, list(REGIMES.values()), everywhere) for run in sweeps.runs_of(args.name)] if here else []
    known = {(o.method, o.pair) for o in found}
    return [*found, *(o for o in published if (o.method, o.pair) not in known)]


def keep(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """runs.csv, for --also."""
    write(folder / "runs.csv", sorted(outcomes, key=lambda o: (o.method, o.pair)))


def _main(args: Any) -> None:
    if args.run:
        launch(args)
    found = chosen(collect(args), args)
    if not found:
        raise GsdError(f"No run of multirun/{args.name} has these settings; add --run to launch what is missing.")
    sections = janus_report.sections(found, METHODS, REGIMES)
    sweeps.publish(args.out, janus_report.draw(found, CELLS), sections, janus_report.text(sections))
    keep(args.out, found)


if __name__ == "__main__":
    main()
