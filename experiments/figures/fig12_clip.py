"""Fig. 12 of the paper: how similar CLIP finds every view of a turn to "front, side and back view of" the prompt.

    python experiments/figures/fig12_clip.py --run --jobs 2   # minutes, on the menagerie
    python experiments/figures/fig12_clip.py --run prior=stable_diffusion metric=clip_view metric.clip_view.model=CLIP
    python experiments/figures/fig12_clip.py --run --setup gaussiandreamer scale=laptop   # the paper's baseline

The paper finds that these curves prove nothing. So beside those of the runs stand the curves of what is known: of the
prompts' true animals (an individual that no prior and no CLIP was trained on) and of the same with a second face on the
back, seen by the same cameras and the same CLIP. Then the runs themselves are asked: does a run with a Janus verdict,
which is that of metric=truth, have a smaller margin than one without?

The margin is the first circular harmonic of front minus back, along the yaw that suits the turn best; see
metric=clip_view. The prompts are the units: intervals and bands (95 %) and p are over their means. The area under the
ROC curve is the chance that CLIP's number is on the right side between a run with the fault and one without: 1/2 is
guessing. "Same prompt" compares runs of one prompt only, so that what CLIP thinks of an animal does not help. Areas
have the jackknife's variance over prompts and Wilson's interval, and none where a single prompt has all faults. p is of
pairs of the same prompt and seed and adjusted (Holm) for the numbers of its row.

Back views are rare here (view_bias 4), or there would be hardly a second face to see; the prior of --setup
gaussiandreamer has no such setting. There both methods have GSD's six views per step. Of runs without clip_view, it is
measured by: gsd evaluate multirun/NAME metric=clip_view --views 120.
Writes figure.png, figure.pdf, table.md and result.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gallery
import janus
import numpy as np
import plots
import sweeps
from jaxtyping import Bool, Float
from pairs import difference

from gsd.config import make
from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import find, load
from gsd.metric.check import calibration
from gsd.metric.clip_view import WORDS, ClipView
from gsd.results import markdown
from gsd.results.outcome import Outcome, outcome
from gsd.results.runs import Run
from gsd.results.trust import configuration
from gsd.statistics.estimates import Estimate, averaged, band, mean, units
from gsd.statistics.jackknife import chance
from gsd.statistics.pairs import holm
from gsd.types import Context

FIGURE = gallery.Gallery(
    name="fig12",
    title="CLIP similarity by azimuth",
    methods={name: janus.CELLS[name] for name in ("SDS", "GSD")},
    prompts=janus.SUBJECTS[:8],
    common=("prior.view_bias=4", "metric=[truth,clip_view]", "turntable.resolution=64", "images_every=0"),
    seeds=5,
)
SETUPS = {
    "gaussiandreamer": replace(
        FIGURE,
        name="fig12_gaussiandreamer",
        methods={
            "GaussianDreamer": "experiment=gaussiandreamer_gsd noising=random loss=[sparsity]",
            "GSD": "experiment=gaussiandreamer_gsd",
        },
        prompts=("a full body of a cat with a hat", "an owl", "a corgi"),
        common=("metric=[truth,clip_view]", "turntable.resolution=64", "images_every=0"),
    )
}
KNOWN: dict[calibration.Kind, str] = {"true": "true animals", "two-faced": "two-faced animals"}
KNOWN_OUTCOMES: dict[calibration.Kind, Outcome] = {"true": "coherent", "two-faced": "janus"}
MARKS: dict[Outcome, tuple[str, str, str]] = {
    "coherent": ("#0072b2", "o", "coherent"), "janus": ("#d55e00", "X", "Janus"), "turned": ("#e6b800", "D", "turned"),
    "empty": ("0.7", "s", "empty"),
}  # fmt: skip
CURVES = [f"clip_{word}" for word in WORDS]
NUMBERS = {  # and whether a fault should raise them
    "clip_margin": ("margin", -1), "clip_harmonic": ("harmonic", -1), "clip_view_accuracy": ("views told right", -1),
    "clip_janus_share": ("backs told front", 1),
}  # fmt: skip

Fault = Callable[[dict[str, Any]], bool]
Rows = list[dict[str, Any]]  # each with prompt, the numbers and curves of clip_view, and where known janus and coherent


def main() -> None:
    sweeps.start(gallery.parser(__doc__, FIGURE, SETUPS), _main)


def _main(args: argparse.Namespace) -> None:
    figure = gallery.setup(args, FIGURE, SETUPS)
    chosen = gallery.find(figure, args)
    sets: dict[str, Rows] = {m: [] for m in figure.methods}
    for (method, _), runs in chosen.items():
        sets[method] += [seen(run) for run in runs]
    of_runs = [row for rows in sets.values() for row in rows]
    prompts = list(dict.fromkeys(prompt for _, prompt in chosen))
    sets |= known(next(iter(chosen.values()))[0], prompts, len(of_runs[0][CURVES[0]]))
    if len({len(row[CURVES[0]]) for rows in sets.values() for row in rows}) > 1:
        raise GsdError("Runs with turntables of different lengths; add turntable.views=120, or another --name.")
    rows = [line(name, each) for name, each in sets.items()] + versus(*((m, sets[m]) for m in figure.methods))
    agree = agreement(of_runs, sets)
    text = "\n".join([markdown.table(rows), markdown.table(agree), verdict(of_runs)])
    sweeps.publish(args.out, draw(sets), {"table": rows, "agreement": agree, "each": sets}, text)


def seen(run: Run) -> dict[str, Any]:
    """What clip_view and the truth say of a run."""
    found = run.summary
    if CURVES[0] not in found:
        raise GsdError(
            f"{run.path} has no curves; measure them: gsd evaluate {run.path.parent} metric=clip_view --views 120."
        )
    row = {key: found[key] for key in ("prompt", "seed", *NUMBERS, "clip_yaw_deg", *CURVES)} | {"run": str(run.path)}
    judged = outcome(found)
    return row | ({"outcome": judged, "janus": judged == "janus"} if judged else {})


def known(like: Run, prompts: Sequence[str], views: int) -> dict[str, Rows]:
    """The curves of the prompts' animals with one face and with two, by the cameras and the CLIP of a run.

    Where the menagerie has none of the prompts, those of the whole menagerie.
    """
    own = like.config["metric"].get("clip_view")
    section = configuration(like.path).metric.clip_view if own else None
    metric: ClipView = make(section, "metric.clip_view", Context(), ClipView) if own else ClipView()
    t = like.config["turntable"] | like.summary.get("evaluated", {}).get("clip_view", {})
    cameras = turntable(views, t["resolution"], t["fov"], t["distance"], t["elevation"])
    animals = [p for p in prompts if _in_menagerie(p)] or [calibration.prompt(name) for name in load()]
    return {
        title: [
            {"prompt": p, **numbers, "janus": float(kind == "two-faced"), "outcome": KNOWN_OUTCOMES[kind]}
            for p, numbers in zip(animals, calibration.known(metric, kind, animals, cameras), strict=True)
        ]
        for kind, title in KNOWN.items()
    }


def _in_menagerie(prompt: str) -> bool:
    try:
        return bool(find(prompt))
    except GsdError:
        return False


def by_prompt(rows: Rows, values: Any) -> Float[np.ndarray, "k m"]:
    """The mean of each prompt's values or curves."""
    return averaged(np.array(values, float).reshape(len(rows), -1), [row["prompt"] for row in rows])


def line(name: str, rows: Rows) -> dict[str, Any]:
    means = {key: mean(by_prompt(rows, [row[key] for row in rows]).ravel().tolist()) for key in NUMBERS}
    verdicts = [100 * row["janus"] for row in rows if "janus" in row]
    cells = {"": name, "turns": len(rows), "Janus %": f"{np.mean(verdicts):.0f}" if verdicts else ""}
    return cells | {title: f"{means[key]:.3f}" for key, (title, _) in NUMBERS.items()}


def versus(first: tuple[str, Rows], second: tuple[str, Rows]) -> list[dict[str, Any]]:
    """The second method less the first, pair by pair of the same prompt and seed."""

    def numbers(rows: Rows, key: str) -> dict[tuple[str, int], float]:
        return {(row["prompt"], row["seed"]): row[key] for row in rows if key in row}

    (baseline, before), (method, ours) = first, second
    found = {key: difference(numbers(ours, key), numbers(before, key), key == "janus") for key in ("janus", *NUMBERS)}
    verdicts, *rest = found.values()
    each = [one for one in rest if one]
    if not each:
        return []
    row: dict[str, Any] = {"": f"{method} - {baseline}", "turns": f"{each[0].mean.count} pairs"}
    judged = verdicts and verdicts.mean.count == each[0].mean.count
    row["Janus %"] = f"{100 * verdicts.mean.value:+.0f}" if verdicts and judged else ""
    for (title, _), one, p in zip(NUMBERS.values(), each, holm([one.p for one in each]), strict=True):
        row[title] = f"{one.mean:+.3f}, p {p:.2g}"
    return [row]


def agreement(of_runs: Rows, sets: dict[str, Rows]) -> list[dict[str, Any]]:
    """One row per number of CLIP: how well it tells runs with a fault, and two-faced animals, from the others."""
    judged = [row for row in of_runs if "janus" in row]
    animals = [row for title in KNOWN.values() for row in sets[title]]
    bad, broken = (sum(test(row) for row in judged) for test in (_janus, _incoherent))
    columns: dict[str, tuple[Rows, Fault, bool]] = {
        f"{bad} Janus, {len(judged) - bad} not": (judged, _janus, False),
        "the same, same prompt": (judged, _janus, True),
        f"{broken} incoherent, {len(judged) - broken} not": (judged, _incoherent, False),
        "two-faced, true": (animals, _janus, False),
    }
    rows: list[dict[str, Any]] = []
    for key, (title, sign) in NUMBERS.items():
        found = {c: told(of, key, sign, fault, same) for c, (of, fault, same) in columns.items()}
        rows.append({"area under ROC": title} | {c: f"{e:.3f}" if e else "" for c, e in found.items()})
    return rows


def verdict(of_runs: Rows) -> str:
    """Whether the margin agrees with the truth, in a sentence."""
    judged = [row for row in of_runs if "janus" in row]
    found = told(judged, "clip_margin", NUMBERS["clip_margin"][1], _janus, False)
    if found is None:
        return "These runs cannot tell whether the margin agrees with the truth's Janus verdict.\n"
    relation = "has no demonstrated relation to"
    if found.low > 0.5 or found.high < 0.5:
        relation = "agrees with" if found.low > 0.5 else "contradicts"
    return f"Among these runs the margin {relation} the truth's Janus verdict (area {found:.3f}).\n"


def _janus(row: dict[str, Any]) -> bool:
    return row["janus"] == 1


def _incoherent(row: dict[str, Any]) -> bool:
    return row["outcome"] != "coherent"


def told(rows: Rows, key: str, sign: int, fault: Fault, same_prompt: bool) -> Estimate | None:
    """The chance that a row with the fault has more of sign * number than one without; None where it is not known."""
    values, faulty = np.array([sign * row[key] for row in rows]), np.array([fault(row) for row in rows], bool)
    if not 0 < faulty.sum() < len(faulty):
        return None
    unit = units([row["prompt"] for row in rows])
    groups = [np.flatnonzero(unit == k) for k in range(max(unit) + 1)]
    if not same_prompt:
        return chance(groups, lambda chosen: area(values[chosen], faulty[chosen]))
    pairs = np.array([faulty[each].sum() * (~faulty[each]).sum() for each in groups])
    won = pairs * np.array([np.nan_to_num(area(values[each], faulty[each])) for each in groups])
    if not pairs.any():
        return None
    prompts = list(np.arange(len(groups))[:, None])
    return chance(prompts, lambda chosen: won[chosen].sum() / pairs[chosen].sum() if pairs[chosen].any() else np.nan)


def area(values: Float[np.ndarray, " n"], faulty: Bool[np.ndarray, " n"]) -> float:
    """Under the ROC curve; nan where all or none is faulty."""
    return calibration.area(values[faulty], values[~faulty]) if 0 < faulty.sum() < len(faulty) else np.nan


def draw(sets: dict[str, Rows]) -> Any:
    figure = plots.figure(10, 5.4)
    above, below = figure.subfigures(2, 1)
    axes = above.subplots(1, len(sets), sharey=True)
    for axis, (name, rows) in zip(axes, sets.items(), strict=True):
        for curve, word, colour in zip(CURVES, WORDS, ("#d55e00", "0.55", "#0072b2"), strict=True):
            draw_band(axis, rows, [row[curve] for row in rows], 1, colour, f"{word} view of ...")
        axis.set_title(f"{name} ({len(rows)})")
    axes[0].set_ylabel("CLIP similarity (cosine)")
    axes[0].legend()
    margins, dots = below.subplots(1, 2)
    for (name, rows), colour in zip(sets.items(), ("0.25", "#c0392b", "#009e73", "#cc79a7"), strict=True):
        differences = [np.subtract(row[CURVES[0]], row[CURVES[-1]]) for row in rows]
        draw_band(margins, rows, differences, 2, colour, name)
    margins.axhline(0, color="0.6", lw=0.6)
    margins.set_title("front minus back")
    margins.legend(loc="lower center", ncols=2)
    for column, rows in enumerate(sets.values()):
        draw_margins(dots, column, rows)
    title = "margin of every turn, side by side by prompt"
    dots.set(xticks=range(len(sets)), xticklabels=list(sets), title=title)
    handles = {handle.get_label(): handle for handle in dots.get_legend_handles_labels()[0]}
    if handles:
        named = [handles[label] for label in sorted(handles)[::-1]]
        dots.legend(handles=named, loc="center left", bbox_to_anchor=(0.74, 0.5))
    return figure


def draw_band(axis: Any, rows: Rows, curves: Sequence[Any], most: float, colour: str, label: str) -> None:
    """The mean over prompts and runs by azimuth, of values in [-most, most]."""
    azimuth = np.arange(len(curves[0])) * 360 / len(curves[0])
    value, low, high = band(by_prompt(rows, curves))
    axis.fill_between(azimuth, low.clip(min=-most), high.clip(max=most), color=colour, alpha=0.18, lw=0)
    axis.plot(azimuth, value, color=colour, label=label)
    axis.set(xlim=(0, 360), xticks=range(0, 360, 90), xlabel="azimuth (degrees)")


def draw_margins(axis: Any, column: int, rows: Rows) -> None:
    """One dot per turn; its colour is what the truth says of it."""
    places = {prompt: k for k, prompt in enumerate(dict.fromkeys(row["prompt"] for row in rows))}
    for row in rows:
        colour, marker, label = MARKS[row["outcome"]] if "outcome" in row else ("0.5", "o", "_")  # nobody knows
        x = column + 0.7 * ((places[row["prompt"]] + 0.5) / len(places) - 0.5)
        axis.plot(x, row["clip_margin"], marker, color=colour, ms=5, mec="white", mew=0.5, label=label)


if __name__ == "__main__":
    main()
