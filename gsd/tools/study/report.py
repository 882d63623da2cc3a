"""What a study found: result.json and votes.csv for programs, table.md for people, the paper's Table 1 beside ours."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from scipy import stats

from gsd.results.folder import RunFolder
from gsd.statistics.estimates import Estimate
from gsd.statistics.resampling import holm
from gsd.tools.study.analysis import Finding, Screened, by_scene, find, left_share, read, screen
from gsd.tools.study.inference import CORRELATION, power, share_p
from gsd.tools.study.study import COLUMNS, QUESTIONS, Question, Study, load, other

PAPER = {"geometry": 0.654, "prompt": 0.684, "overall": 0.615}  # Table 1, for GSD
PAPER_BASELINE = {"geometry": 0.346, "prompt": 0.316, "overall": 0.384}  # as printed
PAPER_RATERS = 39
# Of the multiples of 39 up to 300, only six votes each give all three shares as printed: 153, 160 and 144 of 234
PAPER_EACH = 6
RATERS = (10, 20, 39, 60, 100, 200)  # of the power table
EFFECT = 0.6


def write(folder: Path, out: Path) -> str:
    """Analyse the study in a folder into `out`; returns the table.

    Raises GsdError where there is no study, nobody counts, or the rules were changed after the first vote.
    """
    study = load(folder)
    screened = screen(*read(folder, study), study)
    findings = find(screened, study)
    result = summary(study, screened, findings)
    text = table(study, screened, findings)
    target = RunFolder(out)
    target.write("result.json", to_json(result, indent=1, inf_nan_mode="null") + b"\n")
    target.write("table.md", text)
    target.write("votes.csv", votes_csv(study, screened))
    return text


def summary(study: Study, screened: Screened, findings: dict[Question, Finding]) -> dict[str, Any]:
    seconds = [v.seconds for v in screened.counted("pair", "mirrored", "broken")]
    quartiles = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return {
        "simulated": study.simulated,
        "names": dict(zip("ab", study.names, strict=True)),
        "raters": len(screened.raters),
        "excluded": screened.excluded,
        "unfinished": screened.unfinished,
        "rules": study.rules.model_dump(),
        "questions": {q: {"text": QUESTIONS[q], **vars(found)} for q, found in findings.items()},
        "left": left_share(screened),
        "seconds_a_trial": dict(zip(("lower_quartile", "median", "upper_quartile"), quartiles, strict=True)),
        "scenes": [
            {"prompt": scene.prompt, "seed": scene.seed, "block": scene.block, "for_b_of": counts}
            for scene, counts in zip(study.pairs, by_scene(screened, study), strict=True)
        ],
        "power": power_rows(study.trials, _correlation(findings)),
        "paper": {"shares": PAPER, "one_vote_each": paper_once(), "six_votes_each": paper_six()},
        "differences": study.differences,
    }


def paper_once() -> dict[str, Any]:
    """The paper's shares as votes of 39 people, one each: the nearest counts, their exact p, and Holm's."""
    counts = {q: round(share * PAPER_RATERS) for q, share in PAPER.items()}
    ps = {q: float(stats.binomtest(count, PAPER_RATERS).pvalue) for q, count in counts.items()}
    return {"counts": counts, "p": ps, "p_holm": dict(zip(ps, holm(list(ps.values())), strict=True))}


def paper_six() -> dict[str, dict[str, float]]:
    """p of the paper's shares if each rater gave six votes, by how much these correlate."""
    return {
        f"{correlation:g}": {
            q: share_p(share, PAPER_RATERS * PAPER_EACH, PAPER_EACH, correlation) for q, share in PAPER.items()
        }
        for correlation in (0, CORRELATION, 0.3)
    }


def power_rows(trials: int, correlation: float) -> dict[str, Any]:
    """Power to find 60 % for numbers of raters and trials, at the correlation of a rater's votes."""
    columns = sorted({1, 6, 12, 24, trials})
    rows = {str(raters): {str(n): power(raters, n, EFFECT, correlation) for n in columns} for raters in RATERS}
    return {"preference": EFFECT, "correlation": correlation, "by_raters_and_trials": rows}


def _correlation(findings: dict[Question, Finding]) -> float:
    """Of a rater's votes, as seen, over the questions; where it cannot be seen, what is assumed before a study."""
    seen = [found.correlation for found in findings.values() if math.isfinite(found.correlation)]
    return max(0.0, statistics.mean(seen)) if seen else CORRELATION


def table(study: Study, screened: Screened, findings: dict[Question, Finding]) -> str:
    a, b = study.names
    lines = [f"# User study: {b} against {a}", ""]
    if study.simulated:
        lines += [
            f"**SIMULATED RATERS, no people: {study.simulated}.** The numbers test the study, not the methods.",
            "",
        ]
    lines += [
        f"{len(screened.raters)} raters, {next(iter(findings.values())).votes} votes on each question. "
        f"{len(screened.excluded)} excluded by the rules fixed beforehand, {len(screened.unfinished)} unfinished.",
        "",
        *_main_table(a, b, findings),
        "",
        *_reading(),
        "",
        "## Catch trials and screens",
        "",
        *_screens(study, screened, findings),
        "",
        "## By scene",
        "",
        *_scenes(study, screened),
        "",
        "## Power",
        "",
        *_power(study, findings),
    ]
    if study.differences:
        lines += ["", "## What differs between the sides", "", *(f"- {line}" for line in study.differences)]
    return "\n".join(lines) + "\n"


def _main_table(a: str, b: str, findings: dict[Question, Finding]) -> list[str]:
    once, six = paper_once(), paper_six()

    def row(name: str, cell: Callable[[Question, Finding], str]) -> str:
        return _row(name, *(cell(q, found) for q, found in findings.items()))

    ties = any(found.ties for found in findings.values())
    return [
        _row("", *(COLUMNS[q] for q in findings)),
        _row(*["---"] * (len(findings) + 1)),
        row(f"**{b}**", lambda q, f: f"**{_percent(f.by_rater.value)}**"),
        row(a, lambda q, f: _percent(1 - f.by_rater.value)),
        *([row("no difference, of all votes", lambda q, f: _percent(f.ties / f.votes))] if ties else []),
        row("95 %, raters", lambda q, f: _interval(f.by_rater)),
        row("95 %, raters and prompts", lambda q, f: _interval(f.crossed)),
        row("95 %, Wilson, as if votes were independent", lambda q, f: _interval(f.wilson)),
        row("p, each rater's votes as one", lambda q, f: _p(f.p)),
        row("p, Holm over the questions", lambda q, f: _p(f.p_holm)),
        row("Krippendorff's alpha", lambda q, f: _number(f.alpha)),
        row("paper: baseline + GSD", lambda q, f: _percent(PAPER[q])),
        row("paper: baseline", lambda q, f: _percent(PAPER_BASELINE[q])),
        row("paper, p if 39 raters gave one vote each", lambda q, f: f"{_p(once['p'][q])} ({once['counts'][q]}/39)"),
        row("the same, Holm", lambda q, f: _p(once["p_holm"][q])),
        *(
            _row(f"paper, p if they gave six each that correlate by {correlation}", *(_p(ps[q]) for q in findings))
            for correlation, ps in six.items()
        ),
    ]


def _reading() -> list[str]:
    return [
        "Shares are of votes that name a side. Votes of one rater are not independent, so the interval and the p that "
        "count are those of raters; that of raters and prompts is about prompts like these, not these alone.",
        "",
        "The paper says that there were 39 participants, not how many votes they gave or how alike one's were. Of 39 "
        "votes no count gives 65.4 or 68.4 %; 39 times six give all three (153, 160 and 144 of 234). What its table "
        "can say therefore lies between the row of one vote each and that of six independent ones.",
    ]


def _screens(study: Study, screened: Screened, findings: dict[Question, Finding]) -> list[str]:
    rules, seconds = study.rules, [v.seconds for v in screened.counted("pair", "mirrored", "broken")]
    lines = [
        "- Fixed beforehand: only raters who finished count; excluded is who does not prefer the whole scene in more "
        f"than {rules.wrong_allowed} of the {len(QUESTIONS) * len(study.broken)} answers on broken ones, or takes less "
        f"than {rules.least_seconds:g} s for a typical trial."
    ]
    lines += [f"- Rater {rater}: {why}." for rater, why in screened.excluded.items()]
    lines.append(f"- A trial took {statistics.median(seconds):.1f} s (median).")
    left = left_share(screened)
    lines.append(f"- The left scene was chosen in {_percent(left.value)} {_interval(left)}, whatever it was.")
    repeated = {q: found.repeated for q, found in findings.items() if found.repeated}
    if repeated:
        cells = (f"{COLUMNS[q]} {_percent(same.value)} {_interval(same)}" for q, same in repeated.items())
        lines.append(f"- When a pair came back mirrored, the same scene was preferred: {', '.join(cells)}.")
    return lines


def _scenes(study: Study, screened: Screened) -> list[str]:
    blocks = len({scene.block for scene in study.pairs}) > 1
    lines = [_row("prompt", "seed", *COLUMNS.values()), _row(*["---"] * (len(COLUMNS) + 2))]
    for scene, counts in zip(study.pairs, by_scene(screened, study), strict=True):
        where = f" (sets {scene.block + 1})" if blocks else ""
        cells = (f"{wins}/{votes}" for wins, votes in counts.values())
        lines.append(_row(scene.prompt + where, str(scene.seed), *cells))
    return [*lines, "", f"Votes for {study.names[1]}, of those that name a side."]


def _power(study: Study, findings: dict[Question, Finding]) -> list[str]:
    found = power_rows(study.trials, _correlation(findings))
    rows = found["by_raters_and_trials"]
    columns = list(next(iter(rows.values())))
    return [
        f"The chance to find a preference of {_percent(EFFECT)} (p < .05, two-sided), by raters and trials each, where "
        f"a rater's votes correlate by {_number(found['correlation'])}:",
        "",
        _row("raters", *(f"{n} trial{'s' * (n != '1')}" for n in columns)),
        _row(*["---"] * (len(columns) + 1)),
        *(_row(raters, *(_percent(value, 0) for value in cells.values())) for raters, cells in rows.items()),
    ]


def votes_csv(study: Study, screened: Screened) -> str:
    """A line for each trial: which condition was where and preferred. No id, time of day or screen of a rater."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    counts = set(screened.raters)
    why = screened.excluded | screened.unfinished
    writer.writerow(
        ["rater", "counts", "why_not", "position", "kind", "prompt", "seed", "sets", "left", "right"]
        + [f"{question}_preferred" for question in QUESTIONS]
        + ["seconds"]
        + (["simulated"] if study.simulated else [])
    )
    for v in screened.votes:
        scene = study.scenes(v.kind)[v.scene]
        names = {"a": "whole", "b": "broken"} if v.kind == "broken" else dict(zip("ab", study.names, strict=True))
        sides = (v.preferred(question) for question in QUESTIONS)
        writer.writerow(
            [v.rater, int(v.rater in counts), why.get(v.rater, ""), v.position, v.kind, scene.prompt, scene.seed]
            + [scene.block + 1, names[v.left], names[other(v.left)]]
            + [names[side] if side else "tie" for side in sides]
            + [round(v.seconds, 2)]
            + ([1] if study.simulated else [])
        )
    return out.getvalue()


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _interval(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return "–"
    return f"[{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
