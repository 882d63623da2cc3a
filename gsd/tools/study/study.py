"""What a study is: study.json, which holds all that is fixed before the first vote, and media/ beside it.

study.json    scenes, which side is which, rules of exclusion. It is never served
media/        turntables or sheets of views, under names that tell nothing
votes.sqlite  who saw what on which side, and answered what
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gsd.errors import GsdError

FILE, MEDIA, VOTES = "study.json", "media", "votes.sqlite"
Side = Literal["a", "b"]
Question = Literal["geometry", "prompt", "overall"]
Count = Annotated[int, Field(ge=0)]

QUESTIONS: dict[Question, str] = {  # of the paper, in its order and nearly its words
    "geometry": "Which 3D model has the more realistic 3D geometry?",
    "prompt": "Which 3D model follows the description more closely?",
    "overall": "Which 3D model is better in overall quality?",
}
COLUMNS: dict[Question, str] = {"geometry": "3D coherence", "prompt": "Prompt adherence", "overall": "Overall quality"}
CONSENT = (
    "You will see pairs of 3D models that were made from the same description by different programs. For each pair you "
    "answer three questions by choosing the left or the right one. Most of them have no right answer: your own "
    "judgement is what counts.",
    "Taking part is voluntary. You may stop at any time by closing the page, and go on later: your browser remembers "
    "an id that is drawn for you at random.",
    "What is kept with that id: when you began, your answers, how long each took, and the size of your screen. No name "
    "or address is asked for or stored. The answers are analysed together and may be published.",
)


def other(side: Side) -> Side:
    return "b" if side == "a" else "a"


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shown(_Spec):
    """One side of a comparison."""

    run: str  # folder
    media: str  # file in media/


class Comparison(_Spec):
    """What a trial shows. Of a broken one, a is a run as it is and b the same run spoilt."""

    prompt: str
    seed: int
    a: Shown
    b: Shown
    block: Count = 0  # which of several pairs of sets it is from

    def side(self, side: Side) -> Shown:
        return self.a if side == "a" else self.b


class Rules(_Spec):
    """Who counts. Fixed before the first vote; only those who have finished are counted at all."""

    wrong_allowed: Count = 1  # answers, of all on broken scenes, that may prefer the broken one
    least_seconds: Annotated[float, Field(ge=0)] = 3.0  # median time for a trial with its three answers


class Study(_Spec):
    names: tuple[str, str]  # of sides a and b, for tables only
    seed: Count  # sides and order follow from it: not for raters' eyes
    show: Literal["turntable", "views"]
    tie: bool  # whether "no difference" may be answered
    consent: tuple[str, ...]  # paragraphs
    pairs: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    broken: tuple[Comparison, ...]  # every participant sees all
    mirrored: Count  # pairs that a participant sees a second time, with the sides exchanged
    trials: Annotated[int, Field(ge=1)]  # different pairs that a participant sees
    rules: Rules = Rules()
    differences: tuple[str, ...] = ()  # between the configs of both sides
    left_out: tuple[str, ...] = ()  # runs, and why
    simulated: str | None = None  # how the raters were made up; None: people

    def scenes(self, kind: str) -> tuple[Comparison, ...]:
        return self.broken if kind == "broken" else self.pairs

    @property
    def media(self) -> set[str]:
        return {shown.media for scene in (*self.pairs, *self.broken) for shown in (scene.a, scene.b)}

    @property
    def digest(self) -> str:
        """Of everything in the file, so that no rule changes once votes have been cast."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=16).hexdigest()


def load(folder: Path) -> Study:
    """The study in a folder, with all of its media. Raises GsdError for one that is missing or damaged."""
    file = folder / FILE
    try:
        study = Study.model_validate_json(file.read_bytes())
    except OSError as error:
        raise GsdError(f"{folder} holds no study ({error.strerror}); make one with gsd study make.") from error
    except ValidationError as error:
        raise GsdError(f"{file} is damaged: {complaint(error)}.") from error
    absent = sorted(name for name in study.media if not (folder / MEDIA / name).is_file())
    if absent:
        raise GsdError(f"{folder / MEDIA} lacks {', '.join(absent)}; make the study anew.")
    return study


def complaint(error: ValidationError) -> str:
    """The first thing wrong, and where."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'all of it'}: {first['msg']}"


def save(folder: Path, study: Study) -> None:
    from gsd.results.folder import RunFolder

    RunFolder(folder).write(FILE, study.model_dump_json(indent=1) + "\n")
