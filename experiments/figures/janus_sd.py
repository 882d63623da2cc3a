r"""Janus on a real prior: SDS, view guidance and its rivals at equal UNet calls, by raters who do not know which.

    python experiments/figures/janus_sd.py --run             # 10 prompts x 4 seeds x 6 methods on Stable Diffusion
    python experiments/figures/janus_sd.py --study           # blind pairs, every method against SDS
    gsd study serve outputs/janus_sd/study                   # the page for the raters
    python experiments/figures/janus_sd.py                   # unblinds: what the raters prefer, by method

--run takes settings for all runs, as prior=sdxl, representation=instant_ngp or prior.dtype=bf16; the same command goes
on where it was stopped. A dry run that needs neither weights nor a GPU, with made-up raters:

    python experiments/figures/janus_sd.py --run --prompts "an owl" "a corgi" "a penguin" --seeds 0 \
        --calls 48 --scale 2 --name dry --out outputs/dry prior=tiny camera.resolution=64
    python experiments/figures/janus_sd.py --study --simulate 0.7 --name dry --out outputs/dry
    python experiments/figures/janus_sd.py --name dry --out outputs/dry

A method has as many steps of one view as make its UNet calls equal: view guidance asks for three branches where SDS
asks for two. Its strengths are those that were confirmed on the menagerie (docs/janus.md), for want of others. What
training a LoRA costs (ESD) counts as one call more per view. Raters are asked first which scene looks like one object
with a single front. Per method: the votes for it against SDS, with intervals that heed that votes of one rater and
votes on one prompt are alike, and p of one half, adjusted for the number of methods (Holm). Raters compare, so this
says which method has fewer faces, not how many runs are free of Janus.

Writes result.json, table.md, figure.png and figure.pdf; a vote per line: gsd study analyse, votes.csv.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import janus
import numpy as np
import plots
import sweeps
import table1

from gsd.errors import GsdError
from gsd.results import markdown
from gsd.results.runs import done_runs
from gsd.statistics.pairs import holm
from gsd.tools.study.analyse import left_out, share
from gsd.tools.study.make import make
from gsd.tools.study.study import QUESTIONS, VOTES, Question, Scene, Study, load
from gsd.tools.study.votes import Vote, read


class Method(NamedTuple):
    settings: str  # {scale}: of guidance by the text; {view}: of view guidance; {low}, {high}: D-SDS's limits
    branches: float  # UNet calls per view and step, on average

    @property
    def words(self) -> dict[str, str]:
        return sweeps.typed(self.settings.split())


BASE = "SDS"
GUIDED = "guidance.guidance_scale={scale}"
SDS = f"experiment=sds {GUIDED}"
METHODS = {
    BASE: Method(SDS, 2),
    "view guidance": Method(f"{SDS} guidance.view_scale={{view}}", 3),
    "view guidance, projected": Method(f"{SDS} guidance.view_scale={{view}} guidance.view_projection=opposed", 3),
    "janus_cure": Method("experiment=janus_cure guidance.guidance_scale.values=[1.0,{scale}]", 2.5),
    "Perp-Neg": Method(f"{SDS} prompting=perp_neg", 4),
    "front negative": Method(f"experiment=front_negative {GUIDED}", 2),
    "plain negative": Method(f"experiment=plain_negative {GUIDED}", 2),
    "D-SDS": Method(
        f"experiment=debiased_sds {GUIDED} guidance.clip.limit.start={{low}} guidance.clip.limit.end={{high}}", 2
    ),
    "ESD": Method(f"{SDS} guidance=esd", 5),
    "RecDreamer": Method(f"experiment=recdreamer {GUIDED} guidance.rectify={{scale}}", 7),
}
USUAL = (BASE, "view guidance", "view guidance, projected", "janus_cure", "Perp-Neg", "ESD")
EVERY = {
    "prior": "stable_diffusion",
    "metric": "none",
    "camera.views": "1",
    "camera.resolution": "256",
    "images_every": "0",
}
LEAST_CALLS = 20  # a few steps of each method
ONE_FRONT = "Which 3D model looks more like one object with a single front, without a second face or head elsewhere?"
ASKED: dict[Question, str] = QUESTIONS | {"geometry": ONE_FRONT}
COLUMNS: dict[Question, str] = {"geometry": "one front", "prompt": "follows the prompt", "overall": "better overall"}


def main() -> None:
    options = sweeps.parser(__doc__, "janus_sd")
    options.add_argument("--study", action="store_true", help="make the study of the finished runs, in OUT/study")
    options.add_argument("--simulate", type=float, metavar="P", help="with --study: made-up raters for a dry run")
    options.add_argument(
        "--methods", nargs="+", choices=list(METHODS), default=list(USUAL), help=f"({', '.join(USUAL)})"
    )
    options.add_argument("--prompts", nargs="+", default=list(janus.SUBJECTS[:10]), help="(ten animals)")
    options.add_argument("--seeds", default="0-3", help="a range (0-3)")
    options.add_argument("--calls", type=int, default=10_000, help="of the UNet in each run (10000)")
    options.add_argument("--scale", type=float, default=7.5, help="guidance by the text, in all methods (7.5)")
    options.add_argument("--view", type=float, help="guidance.view_scale of view guidance (twice --scale)")
    sweeps.start(options, _main)


def command(method: Method, calls: int, scale: float, view: float, overrides: Sequence[str]) -> list[str]:
    """The settings of a method's runs, with as many steps as make `calls`."""
    settings = EVERY | method.words | sweeps.typed(overrides)
    per_step = method.branches * int(settings["camera.views"])
    settings["steps"] = str(max(1, round(calls / per_step)))
    numbers = {"{scale}": scale, "{view}": view, "{low}": 0.02 * scale, "{high}": 0.08 * scale}
    for key, (name, number) in product(settings, numbers.items()):
        settings[key] = settings[key].replace(name, f"{number:g}")
    return [f"{key}={value}" for key, value in settings.items()]


def folder(name: str, method: str) -> str:
    """Of a method's runs below multirun/."""
    return f"{name}_{method.lower().replace(',', '').replace(' ', '_')}"


def launch(args: Any) -> None:
    if args.scale <= 1:
        raise GsdError(f"--scale {args.scale:g}: must be above 1, or methods ask for fewer branches than are counted.")
    if args.calls < LEAST_CALLS:
        raise GsdError(f"--calls {args.calls}: must be at least {LEAST_CALLS}, or they cannot be about equal.")
    if any("," in prompt for prompt in args.prompts):
        raise GsdError("--prompts: a comma parts two prompts of a sweep; leave it out.")
    view = 2 * args.scale if args.view is None else args.view
    for name in dict.fromkeys((BASE, *args.methods)):
        settings = command(METHODS[name], args.calls, args.scale, view, args.overrides)
        swept = [*settings, f"prompt={','.join(args.prompts)}"]
        sweeps.launch(folder(args.name, name), swept, janus.seeds(args.seeds), args.jobs)


def rivals(args: Any) -> list[str]:
    """The methods that have runs, without SDS."""
    found = [name for name in args.methods if name != BASE and Path("multirun", folder(args.name, name)).is_dir()]
    if not found:
        raise GsdError(f"multirun/ has no runs of {args.name} that could be compared with SDS; add --run.")
    return found


def make_study(args: Any, out: Path) -> None:
    """Every rival against SDS, pair by pair of the same prompt and seed. Raises GsdError for unequal calls."""
    sets = []
    for name in rivals(args):
        sets += [f"multirun/{folder(args.name, BASE)}", f"multirun/{folder(args.name, name)}"]
    _check_calls(args.name, [BASE, *rivals(args)])
    simulated = "" if args.simulate is None else f"{table1.RATERS} raters made up by a program"
    study = make(sets, out, (BASE, "another method"), simulated=simulated, questions=ASKED)
    print(f"{out}: {len(study.pairs)} pairs, {study.total} trials per rater; gsd study serve {out}")
    if args.simulate is not None:
        table1.vote(out, study, table1.RATERS, args.simulate)


def _check_calls(name: str, methods: Sequence[str]) -> None:
    """Raise GsdError where runs differ by more than a step of the dearest method."""
    runs = {method: done_runs([Path("multirun", folder(name, method))]) for method in methods}
    calls = {method: [run.summary["prior_calls"] for run in found] for method, found in runs.items()}
    most, views = max(map(max, calls.values())), runs[BASE][0].config["camera"]["views"]
    for method, seen in calls.items():
        if most - min(seen) > views * max(METHODS[each].branches for each in methods):
            raise GsdError(
                f"{method} has a run of {min(seen)} UNet calls, others {most}; --run all with the same --calls."
            )


def method_of(scene: Scene, name: str) -> str:
    """Which method a scene's second run is of: the unblinding."""
    sweep = Path(scene.runs["b"]).parent.name
    for method in METHODS:
        if sweep == folder(name, method):
            return method
    raise GsdError(f"{scene.runs['b']} is no run of --name {name}; give the name that the study was made with.")


def analyse(study: Study, votes: Sequence[Vote], name: str) -> dict[str, Any]:
    """Per method and question the share of votes for it against SDS. Raises GsdError where no rater counts yet."""
    why = left_out(study, votes)
    counted = [v for v in votes if v.kind == "pair" and v.rater not in why]
    if not counted:
        raise GsdError(f"No rater counts yet, of {len(why)} who have voted; study.json has the rules.")
    methods = list(dict.fromkeys(method_of(scene, name) for scene in study.pairs))
    found: dict[str, Any] = {}
    for method in methods:
        mine = [v for v in counted if method_of(study.pairs[v.scene], name) == method]
        raters, prompts = [v.rater for v in mine], [study.pairs[v.scene].prompt for v in mine]
        found[method] = {"votes": len(mine), "prompts": len(set(prompts))}
        for question in QUESTIONS:
            wins = np.array([v.preferred(question) == "b" for v in mine], float)
            estimate, p = share(wins, raters, prompts)
            found[method][question] = vars(estimate) | {"p": p}
    for question in QUESTIONS:
        adjusted = holm([found[method][question]["p"] for method in methods])
        for method, p in zip(methods, adjusted, strict=True):
            found[method][question]["p_holm"] = p
    return {"raters": len({v.rater for v in counted}), "left_out": why, "simulated": study.simulated, "methods": found}


def text(result: dict[str, Any]) -> str:
    rows = []
    for method, found in result["methods"].items():
        row = {"method": method, "prompts": found["prompts"], "votes": found["votes"]}
        for question, title in COLUMNS.items():
            row[f"{title} %"] = _share(found[question])
            row[f"p, {title}"] = "–" if math.isnan(found[question]["p_holm"]) else f"{found[question]['p_holm']:.2g}"
        rows.append(row)
    who = f"**SIMULATED RATERS, no people: {result['simulated']}.**\n\n" if result["simulated"] else ""
    return (
        f"# Votes for each method against {BASE}, of {result['raters']} raters\n\n{who}"
        + markdown.table(rows)
        + "\n50 % is no preference. 95 % intervals over raters and prompts like these; p of 50 %, adjusted by Holm for "
        "the number of methods. Fewer than three raters or prompts have neither.\n"
    )


def _share(found: dict[str, float]) -> str:
    value = f"{100 * found['value']:.0f}"
    return value if math.isnan(found["low"]) else f"{value} [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"


def draw(result: dict[str, Any]) -> Any:
    """The first question's shares with their intervals."""
    figure = plots.figure(5.6, 0.9 + 0.4 * len(result["methods"]))
    axis = figure.subplots()
    found = [each["geometry"] for each in result["methods"].values()]
    places = np.arange(len(found))
    axis.hlines(places, [each["low"] for each in found], [each["high"] for each in found], color="#0a63b0")
    axis.plot([each["value"] for each in found], places, "o", color="#0a63b0", mec="white")
    axis.axvline(0.5, color="0.5", lw=0.8, ls="--", zorder=0)
    axis.set(yticks=places, yticklabels=list(result["methods"]), ylim=(len(found) - 0.5, -0.5), xlim=(0, 1))
    who = "SIMULATED raters, no people" if result["simulated"] else "raters"
    axis.set(xlabel=f"share of votes for it against {BASE}: one front", title=f"{result['raters']} {who}")
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _main(args: Any) -> None:
    out = args.out / "study"
    if args.run:
        launch(args)
    if args.simulate is not None and not (args.study and 0 < args.simulate < 1):
        raise GsdError("--simulate goes with --study and lies between 0 and 1.")
    if args.study:
        make_study(args, out)
    elif not args.run:
        study = load(out)
        if not (out / VOTES).exists():
            raise GsdError(f"{out} has no votes yet; they come with gsd study serve {out}.")
        result = analyse(study, read(out, study), args.name)
        sweeps.publish(args.out, draw(result), result, text(result))


if __name__ == "__main__":
    main()
