"""From votes to the paper's Table 1: who counts, what they prefer, and how sure that is."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic_core import to_json

from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.statistics.estimates import LEAST, Estimate
from gsd.statistics.pairs import holm
from gsd.statistics.proportions import clustered
from gsd.tools.study.study import OTHER, QUESTIONS, Study, load
from gsd.tools.study.votes import Vote, read

COLUMNS = {"geometry": "3D coherence", "prompt": "Prompt adherence", "overall": "Overall quality"}
PAPER = {"geometry": (0.654, 0.346), "prompt": (0.684, 0.316), "overall": (0.615, 0.384)}  # Table 1: GSD, baseline
NOTE = """
Intervals and p-values (against one half, corrected by Holm for three questions) allow for the correlation of votes of
one rater. "Raters and prompts" also allows for that of votes on one prompt: it is about other prompts like these.

The paper does not say how many votes its 39 raters gave. If each gave one (26, 27 and 24 of 39 for GSD), p is .053,
.024 and .200 before Holm.
"""


def variance(values: Float[np.ndarray, " n"], *clusters: Sequence[Hashable]) -> float:
    """Cluster-robust variance of the mean, for one or two ways of clustering; of two it can be negative.

    Liang and Zeger (1986) with G / (G - 1) for G clusters. Of two ways, the sum of both less that of their
    intersection (Cameron, Gelbach and Miller 2011). It is that of statsmodels' OLS with cov_type="cluster".
    """
    if len(clusters) == 2:
        both = list(zip(*clusters, strict=True))
        return sum(variance(values, each) for each in clusters) - variance(values, both)
    numbers = {name: k for k, name in enumerate(dict.fromkeys(clusters[0]))}
    sums = np.bincount([numbers[name] for name in clusters[0]], values - values.mean())
    return float((sums**2).sum() * len(sums) / (len(sums) - 1) / len(values) ** 2)


def share(wins: Float[np.ndarray, " n"], *clusters: Sequence[Hashable]) -> tuple[Estimate, float]:
    """The mean of zeros and ones for raters (and prompts) like those in the study, and the two-sided p of one half.

    clusters: the rater of each vote, or the raters and the prompts; of fewer than three there is no interval, but nan.

    Interval and p are those of `gsd.statistics.proportions` with the largest variance that any way of clustering gives,
    and as many clusters as the scarcer kind has.
    """
    value, count, fewest = float(wins.mean()), len(wins), min(len(set(each)) for each in clusters)
    if fewest < LEAST:
        return Estimate(value, np.nan, np.nan, count), np.nan
    largest = max(variance(wins, *clusters), *(variance(wins, each) for each in clusters))
    low, high, p = clustered(value, largest, fewest, count / fewest)
    return Estimate(value, low, high, count), p


def left_out(study: Study, votes: Sequence[Vote]) -> dict[int, str]:
    """Why raters do not count, by their numbers: the rules of study.json."""
    why = {}
    for rater, group in groupby(votes, key=lambda v: v.rater):
        theirs = list(group)
        wrong = sum(v.preferred(q) == "b" for v in theirs if v.kind == "broken" for q in QUESTIONS)
        if len(theirs) < study.total:
            why[rater] = "unfinished"
        elif wrong > study.wrong_allowed:
            why[rater] = "preferred spoilt scenes"
        elif statistics.median(v.seconds for v in theirs) < study.least_seconds:
            why[rater] = "too fast"
    return why


def analyse(study: Study, votes: Sequence[Vote]) -> dict[str, Any]:
    """What result.json holds; shares are of votes for b. Raises GsdError where no rater counts yet."""
    why = left_out(study, votes)
    pairs, again = ([v for v in votes if v.kind == kind and v.rater not in why] for kind in ("pair", "mirrored"))
    if not pairs:
        raise GsdError(f"No rater counts yet, of {len(why)} who have voted; study.json has the rules.")
    raters, prompts = [v.rater for v in pairs], [study.pairs[v.scene].prompt for v in pairs]
    wins = [np.array([v.preferred(question) == "b" for v in pairs], float) for question in QUESTIONS]
    questions: dict[str, dict[str, Any]] = {question: {} for question in QUESTIONS}
    for name, clusters in {"raters": (raters,), "raters_and_prompts": (raters, prompts)}.items():
        shares = [share(each, *clusters) for each in wins]
        for question, (found, p), p_holm in zip(QUESTIONS, shares, holm([p for _, p in shares]), strict=True):
            questions[question][name] = vars(found) | {"p": p, "p_holm": p_holm}
    first = {(v.rater, v.scene): v for v in pairs}
    same = [v.preferred(q) == first[v.rater, v.scene].preferred(q) for v in again for q in QUESTIONS]
    return {
        "names": study.names,
        "simulated": study.simulated,
        "raters": len(set(raters)),
        "left_out": Counter(why.values()),
        "votes": len(pairs),
        "questions": questions,
        "same_when_mirrored": statistics.mean(same),
        "paper": PAPER,
    }


def write(folder: Path) -> str:
    """Analyse the study in a folder, into result.json, table.md and votes.csv there; returns the table.

    Raises GsdError where there is no study, nobody counts, or study.json was changed after the first vote.
    """
    study = load(folder)
    votes = read(folder, study)
    result = analyse(study, votes)
    text, target = table(result), RunFolder(folder)
    target.write("result.json", to_json(result, indent=1, inf_nan_mode="null") + b"\n")
    target.write("table.md", text)
    target.write("votes.csv", votes_csv(study, votes))
    return text


def table(result: dict[str, Any]) -> str:
    (a, b), questions = result["names"], result["questions"].values()
    rows = [
        ("", *COLUMNS.values()),
        ("---", "---", "---", "---"),
        (f"**{b}**", *(f"**{found['raters']['value']:.1%}**" for found in questions)),
        (a, *(f"{1 - found['raters']['value']:.1%}" for found in questions)),
    ]
    for way in ("raters", "raters_and_prompts"):
        name, shares = way.replace("_", " "), [found[way] for found in questions]
        rows.append((f"95% interval, {name}", *(_dashed("[{low:.1%}, {high:.1%}]", each) for each in shares)))
        rows.append((f"p, {name}", *(_dashed("{p_holm:.2g}", each) for each in shares)))
    rows.append(("paper: baseline + GSD", *(f"{ours:.1%}" for ours, _ in PAPER.values())))
    rows.append(("paper: baseline", *(f"{theirs:.1%}" for _, theirs in PAPER.values())))
    lines = [f"# User study: {b} against {a}", ""]
    if result["simulated"]:
        lines += [f"**SIMULATED RATERS, no people: {result['simulated']}.** This tests the study, not the methods.", ""]
    excluded = ", ".join(f"{count} {why}" for why, count in result["left_out"].items()) or "nobody"
    lines += [
        f"{result['raters']} raters, {result['votes']} votes per question. Left out: {excluded}. Of the answers to a "
        f"mirrored pair, {result['same_when_mirrored']:.0%} stayed the same.",
        "",
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows),
        NOTE,
    ]
    return "\n".join(lines)


def _dashed(form: str, share: dict[str, float]) -> str:
    return "–" if math.isnan(share["low"]) else form.format(**share)


def votes_csv(study: Study, votes: Sequence[Vote]) -> str:
    """A line per trial: which condition was where, and which was preferred. No id of a rater."""
    out, why = io.StringIO(), left_out(study, votes)
    writer = csv.writer(out, lineterminator="\n")
    shown = "rater", "left_out", "position", "kind", "scene", "prompt", "seed", "left", "right"
    writer.writerow([*shown, *(f"{question}_preferred" for question in QUESTIONS), "seconds", "simulated"])
    for v in votes:
        scene = study.scene(v.kind, v.scene)
        name = dict(zip("ab", ("whole", "spoilt") if v.kind == "broken" else study.names, strict=True))
        row: list[Any] = [v.rater, why.get(v.rater), v.position, v.kind, v.scene, scene.prompt, scene.seed]
        row += [name[v.left], name[OTHER[v.left]], *(name[v.preferred(question)] for question in QUESTIONS)]
        writer.writerow([*row, f"{v.seconds:.2f}", bool(study.simulated)])
    return out.getvalue()
