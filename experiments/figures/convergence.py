"""How fast scenes form: what runs measured during optimisation, against prior calls, for fig9_convergence.py."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product
from typing import Any

import gallery
import numpy as np
from jaxtyping import Float

from gsd.errors import GsdError
from gsd.results import quantities
from gsd.results.outcome import outcome
from gsd.results.runs import Run, calls_to_threshold
from gsd.statistics.estimates import band, mean
from gsd.statistics.pairs import holm, paired
from gsd.statistics.proportions import share

Key = tuple[str, str, int]  # method, prompt, seed


@dataclass(frozen=True)
class Study:
    """Runs of every method on the same prompts and seeds, and what they measured during optimisation."""

    methods: list[str]
    prompts: list[str]
    seeds: list[int]
    runs: dict[Key, Run]
    histories: dict[Key, list[dict[str, Any]]]

    @property
    def budget(self) -> int:
        """Prior calls that every run has had."""
        return min(history[-1]["prior_calls"] for history in self.histories.values())

    @property
    def grid(self) -> Float[np.ndarray, " G"]:
        """All prior calls, within the budget, at which some run measured something."""
        measured = np.unique([r["prior_calls"] for history in self.histories.values() for r in history])
        return measured[measured <= self.budget].astype(float)

    def prompts_with(self, quantity: str) -> list[str]:
        """Prompts on which every run has measured the quantity."""
        lacking = {key[1] for key, found in self.histories.items() if not any(quantity in r for r in found)}
        return [prompt for prompt in self.prompts if prompt not in lacking]


def gather(chosen: gallery.Chosen) -> Study:
    """The runs of seeds that every method has on every prompt. Raises GsdError for a run that measured nothing."""
    by_seed = {pair: {run.summary["seed"]: run for run in runs} for pair, runs in chosen.items()}
    seeds = sorted(set.intersection(*(set(runs) for runs in by_seed.values())))
    others = sorted(set.union(*(set(runs) for runs in by_seed.values())) - set(seeds))
    if not seeds:
        raise GsdError("No seed was run with every method on every prompt; add --run to launch what is missing.")
    if others:
        left_out = ", ".join(map(str, others))
        print(f"Seeds that not all methods and prompts have are left out: {left_out}.", file=sys.stderr)
    runs = {(*pair, seed): found[seed] for pair, found in by_seed.items() for seed in seeds}
    histories = {key: run.evaluations() for key, run in runs.items()}
    for key, found in histories.items():
        if not found:
            raise GsdError(
                f"{runs[key].path} measured nothing during optimisation; delete it and repeat with evaluate_every=25."
            )
    methods, prompts = (list(dict.fromkeys(pair[k] for pair in chosen)) for k in (0, 1))
    return Study(methods, prompts, seeds, runs, histories)


def values(study: Study, method: str, quantity: str) -> Float[np.ndarray, "units G"]:
    """On Study.grid, straight lines between a run's own measurements: the mean over prompts for each seed.

    With a single seed each prompt.
    """
    each = []
    for seed in study.seeds:
        for prompt in study.prompts_with(quantity):
            records = [r for r in study.histories[method, prompt, seed] if quantity in r]
            x, y = [r["prior_calls"] for r in records], [r[quantity] for r in records]
            each.append(np.interp(study.grid, x, y, left=np.nan, right=np.nan))
    groups = np.split(np.array(each), len(study.seeds))
    return np.array([band(rows)[0] for rows in groups]) if len(groups) > 1 else groups[0]


def smoothed(
    rows: Float[np.ndarray, "units G"], grid: Float[np.ndarray, " G"], over: int
) -> Float[np.ndarray, "units G"]:
    """The mean of what was measured within so many calls up to each point of the grid."""
    recent = (grid <= grid[:, None]) & (grid > grid[:, None] - over)
    return np.stack([band(np.where(window, rows, np.nan).T)[0] for window in recent], 1)


def calls(study: Study, quality: str, threshold: float) -> dict[str, Float[np.ndarray, "P S"]]:
    """method -> prior calls to the threshold, inf for a run that never reaches it."""
    prompts = study.prompts_with(quality)
    return {
        m: np.array([[calls_of(study, (m, p, seed), quality, threshold) for seed in study.seeds] for p in prompts])
        for m in study.methods
    }


def calls_of(study: Study, key: Key, quality: str, threshold: float) -> float:
    records = [r for r in study.histories[key] if quality in r]
    found = calls_to_threshold(records, threshold, quality, rises(quality))
    return np.inf if found is None else found


def rises(quality: str) -> bool:
    return quantities.quantity(quality).better != "lower"


def worse_ends(study: Study, quality: str) -> list[dict[str, Any]]:
    """Per method, the calls it takes to what the worse of it and the baseline ends with, less those of the baseline.

    Of pairs that are coherent in both. Either run reaches it, so neither is favoured: what the baseline alone ends with
    others may have early, and the baseline never before its end.
    """
    first, *others = study.methods
    rows, ps = [], []
    for method in others:
        prompts, differences = [], []
        for prompt, seed in product(study.prompts_with(quality), study.seeds):
            pair = [(m, prompt, seed) for m in (method, first)]
            if all(outcome(study.runs[key].summary) == "coherent" for key in pair):
                ends = ([r[quality] for r in study.histories[key] if quality in r][-1] for key in pair)
                threshold = (min if rises(quality) else max)(ends)
                mine, theirs = (calls_of(study, key, quality, threshold) for key in pair)
                prompts.append(prompt)
                differences.append(mine - theirs)
        if prompts:
            found = paired(differences, prompts)
            rows.append({"method": method, "pairs": len(prompts), "calls - baseline": format(found.mean, "+.0f")})
            ps.append(found.p)
    return [row | {"p": f"{p:.2g}"} for row, p in zip(rows, holm(ps), strict=True)]


def table(reached: dict[float, dict[str, Float[np.ndarray, "P S"]]], budget: int) -> list[dict[str, Any]]:
    """One row per threshold and method."""
    rows, ps = [], []
    for threshold, by_method in sorted(reached.items()):
        first, *_ = by_method
        for method, found in by_method.items():
            spent, others = np.minimum(found, budget), np.minimum(by_method[first], budget)
            over = 0 if found.shape[1] > 1 else 1  # the prompts of a seed, or a single seed
            units = np.indices(found.shape)[1 - over].ravel().tolist()
            median = np.quantile(found, 0.5, method="higher")
            row = {
                "threshold": f"{threshold:g}",
                "method": method,
                "runs": found.size,
                "reached %": format(share((found <= budget).ravel().tolist(), units) * 100, ".0f"),
                "median calls": f"{median:.0f}" if median <= budget else f"> {budget}",
                "mean calls": format(mean(spent.mean(over).tolist()), ".0f"),
                "calls - baseline": "",
                "p": "",
            }
            if method != first:
                difference = paired((spent - others).ravel().tolist(), units)
                row["calls - baseline"] = format(difference.mean, "+.0f")
                ps.append((row, difference.p))
            rows.append(row)
    for (row, _), p in zip(ps, holm([p for _, p in ps]), strict=True):
        row["p"] = f"{p:.2g}"
    return rows
