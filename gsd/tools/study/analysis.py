"""From votes to numbers: who counts, what they prefer, and how sure that is."""

from __future__ import annotations

import sqlite3
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gsd.errors import GsdError
from gsd.statistics.estimates import Estimate, rate
from gsd.statistics.resampling import holm, paired_p
from gsd.tools.study.design import Kind
from gsd.tools.study.inference import alpha, intraclass, share
from gsd.tools.study.study import QUESTIONS, VOTES, Question, Side, Study, other
from gsd.tools.study.votes import Choice, check


@dataclass(frozen=True)
class Vote:
    """The three answers to one trial."""

    rater: int
    position: int
    kind: Kind
    scene: int
    left: Side
    choices: dict[Question, Choice]
    seconds: float

    def preferred(self, question: Question) -> Side | None:
        """The side, wherever it was; None: no difference."""
        choice = self.choices[question]
        if choice == "tie":
            return None
        return self.left if choice == "left" else other(self.left)


@dataclass(frozen=True)
class Screened:
    """All votes, and who of the raters counts. Number of a rater -> why not."""

    votes: list[Vote]
    unfinished: dict[int, str]
    excluded: dict[int, str]

    @property
    def raters(self) -> list[int]:
        """Who counts."""
        return sorted({v.rater for v in self.votes} - self.unfinished.keys() - self.excluded.keys())

    def counted(self, *kinds: Kind) -> list[Vote]:
        counting = set(self.raters)
        return [v for v in self.votes if v.rater in counting and v.kind in kinds]


@dataclass(frozen=True)
class Finding:
    """On one question. Preferences are shares of b among the votes that are not ties; p is against one half."""

    votes: int
    ties: int
    wilson: Estimate  # as if votes were independent of each other
    by_rater: Estimate  # votes of a rater are alike
    crossed: Estimate  # and those on a prompt, whatever the seed
    p: float  # each rater's votes changed sides together
    p_holm: float  # among the questions
    alpha: float  # agreement of raters about a scene
    correlation: float  # of two votes of a rater
    repeated: Estimate | None  # share that prefers the same scene when it is mirrored


def read(folder: Path, study: Study) -> tuple[list[Vote], dict[int, int]]:
    """All votes, and how many trials each rater who began was dealt; a study that goes on is not disturbed.

    Raises GsdError where nobody has taken part, or the rules were changed after the first vote.
    """
    file = folder / VOTES
    if not file.is_file():
        raise GsdError(f"Nobody has taken part in {folder}; start with gsd study serve {folder}.")
    columns = ", ".join(QUESTIONS)
    try:
        database = sqlite3.connect(file.resolve().as_uri() + "?mode=ro", uri=True, timeout=30)
        try:
            check(database, study)
            dealt = dict(database.execute("SELECT participant, count(*) FROM trials GROUP BY participant").fetchall())
            rows = database.execute(
                f"SELECT participant, position, kind, scene, left_side, seconds, {columns} FROM answers "
                "JOIN trials USING (participant, position) ORDER BY participant, position"
            ).fetchall()
        finally:
            database.close()
    except sqlite3.Error as error:
        raise GsdError(f"{file} cannot be read: {error}.") from error
    votes = [
        Vote(rater, position, kind, scene, left, dict(zip(QUESTIONS, choices, strict=True)), seconds)
        for rater, position, kind, scene, left, seconds, *choices in rows
    ]
    return votes, dealt


def screen(votes: Sequence[Vote], dealt: dict[int, int], study: Study) -> Screened:
    """Apply the rules of study.json."""
    by_rater: dict[int, list[Vote]] = {rater: [] for rater in dealt}
    for vote in votes:
        by_rater[vote.rater].append(vote)
    unfinished, excluded = {}, {}
    for rater, theirs in by_rater.items():
        wrong = sum(v.preferred(q) != "a" for v in theirs if v.kind == "broken" for q in QUESTIONS)
        if len(theirs) < dealt[rater]:
            unfinished[rater] = f"{len(theirs)} of {dealt[rater]} trials answered"
        elif wrong > study.rules.wrong_allowed:
            excluded[rater] = f"{wrong} answers did not prefer the whole scene to the broken one"
        elif (typical := statistics.median(v.seconds for v in theirs)) < study.rules.least_seconds:
            excluded[rater] = f"{typical:.1f} s for a typical trial"
    return Screened(list(votes), unfinished, excluded)


def find(screened: Screened, study: Study) -> dict[Question, Finding]:
    """What those who count prefer, for each question.

    Raises GsdError where nobody counts yet.
    """
    if not screened.raters:
        raise GsdError(
            f"No rater counts yet: {len(screened.unfinished)} unfinished, {len(screened.excluded)} excluded by the "
            "rules in study.json."
        )
    pairs, mirrored = screened.counted("pair"), screened.counted("mirrored")
    tests = {question: _p(_by_rater(pairs, question)) for question in QUESTIONS}
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    return {q: _finding(q, study, pairs, mirrored, tests[q], adjusted[q]) for q in QUESTIONS}


def _finding(
    question: Question, study: Study, pairs: list[Vote], mirrored: list[Vote], p: float, p_holm: float
) -> Finding:
    decided = [v for v in pairs if v.preferred(question)]
    wins = np.array([v.preferred(question) == "b" for v in decided], float)
    raters, prompts = [v.rater for v in decided], [study.pairs[v.scene].prompt for v in decided]
    if not len(wins):
        raise GsdError(f"Every vote on {question} was 'no difference'; there is no preference to estimate.")
    scenes: dict[int, list[str]] = {}
    for v in pairs:
        scenes.setdefault(v.scene, []).append(v.preferred(question) or "tie")
    first = {(v.rater, v.scene): v.preferred(question) for v in pairs}
    again = np.array([v.preferred(question) == first[v.rater, v.scene] for v in mirrored], float)
    return Finding(
        votes=len(pairs),
        ties=len(pairs) - len(decided),
        wilson=rate(int(wins.sum()), len(wins)),
        by_rater=share(wins, raters),
        crossed=share(wins, raters, prompts),
        p=p,
        p_holm=p_holm,
        alpha=alpha(list(scenes.values())),
        correlation=intraclass(list(_by_rater(pairs, question).values())),
        repeated=share(again, [v.rater for v in mirrored]) if len(again) else None,
    )


def _by_rater(votes: Sequence[Vote], question: Question) -> dict[int, Float[np.ndarray, " n"]]:
    """1 for b, 0 for a, of each rater; ties are left out, and who has nothing else."""
    theirs: dict[int, list[float]] = {}
    for v in votes:
        side = v.preferred(question)
        if side:
            theirs.setdefault(v.rater, []).append(float(side == "b"))
    return {rater: np.array(values) for rater, values in theirs.items()}


def _p(clusters: dict[int, Float[np.ndarray, " n"]]) -> float:
    """Of "b is preferred as often as a by every rater": wins and losses exchanged, rater by rater."""
    return paired_p([c.sum() for c in clusters.values()], [(1 - c).sum() for c in clusters.values()])


def left_share(screened: Screened) -> Estimate:
    """How often the left one was chosen, whatever it was: near one half unless raters lean to a side."""
    votes = screened.counted("pair", "mirrored")
    sides = [(v.rater, choice == "left") for v in votes for choice in v.choices.values() if choice != "tie"]
    return share(np.array([left for _, left in sides], float), [rater for rater, _ in sides])


def by_scene(screened: Screened, study: Study) -> list[dict[Question, tuple[int, int]]]:
    """Of every pair, votes for b and votes that are not ties."""
    counts: Counter[tuple[int, str, str | None]] = Counter(
        (v.scene, q, v.preferred(q)) for v in screened.counted("pair") for q in QUESTIONS
    )
    return [
        {q: (counts[k, q, "b"], counts[k, q, "a"] + counts[k, q, "b"]) for q in QUESTIONS}
        for k in range(len(study.pairs))
    ]
