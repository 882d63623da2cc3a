"""What a study is: study.json, which holds all that is fixed before the first vote, and media/ beside it.

study.json    scenes, which side is which, rules of exclusion; never served
media/        films of two turntables side by side, under random names
votes.sqlite  who answered what
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from gsd.backend.regular import regular
from gsd.errors import GsdError

FILE, MEDIA, VOTES = "study.json", "media", "votes.sqlite"
Side = Literal["a", "b"]
Kind = Literal["pair", "mirrored", "broken"]
Question = Literal["geometry", "prompt", "overall"]
BySide = Annotated[dict[Side, str], Field(min_length=2)]
OTHER: dict[Side, Side] = {"a": "b", "b": "a"}

QUESTIONS: dict[Question, str] = {  # of the paper, in its order and nearly its words
    "geometry": "Which 3D model has the more realistic 3D geometry?",
    "prompt": "Which 3D model follows the description more closely?",
    "overall": "Which 3D model is better in overall quality?",
}
CONSENT = (
    "You will see pairs of 3D models that were made from the same description by different programs. For each pair you "
    "answer three questions by choosing the left or the right model. Most have no right answer: your judgement counts.",
    "Taking part is voluntary. You may close the page at any time, and go on later in the same browser, which keeps a "
    "random id in a cookie. Stored with that id are your answers and how long each pair took; no name or address is "
    "asked for or stored. The answers are analysed together and may be published.",
)


class Scene(BaseModel, extra="forbid", frozen=True):
    """Two turntables of one prompt and seed. Of a broken scene, a is a run as it is and b the same run spoilt."""

    prompt: str
    seed: int
    runs: BySide  # folders
    films: BySide  # files in media/ with both turntables, by the side that is on the left


class Study(BaseModel, extra="forbid", frozen=True):
    names: tuple[str, str]  # of sides a and b, for tables only
    seed: NonNegativeInt  # sides and order follow from it: not for raters' eyes
    consent: tuple[str, ...] = CONSENT  # paragraphs
    questions: Annotated[dict[Question, str], Field(min_length=len(QUESTIONS))] = QUESTIONS
    wrong_allowed: NonNegativeInt = 1  # answers on broken scenes in which a rater who counts may prefer the spoilt side
    least_seconds: NonNegativeFloat = 3.0  # median time per trial of a rater who counts
    pairs: Annotated[tuple[Scene, ...], Field(min_length=1)]
    broken: tuple[Scene, ...]
    simulated: str = ""  # how the raters were made up; empty for people

    @property
    def total(self) -> int:
        """Trials per rater: all scenes, and the mirrored one."""
        return len(self.pairs) + len(self.broken) + 1

    @property
    def films(self) -> set[str]:
        return {name for scene in (*self.pairs, *self.broken) for name in scene.films.values()}

    @property
    def digest(self) -> str:
        """Of everything in the file, so that no rule changes once votes have been cast."""
        usual = {"questions"} if self.questions == QUESTIONS else set()  # which older studies do not name
        return hashlib.blake2b(self.model_dump_json(exclude=usual).encode(), digest_size=16).hexdigest()

    def scene(self, kind: Kind, index: int) -> Scene:
        return (self.broken if kind == "broken" else self.pairs)[index]


class Trial(NamedTuple):
    """A scene as it is shown once."""

    kind: Kind
    scene: int  # index into study.broken or study.pairs
    left: Side


def trials(study: Study, rater: int) -> list[Trial]:
    """What rater 1, 2, ... sees, in order. It follows from the study's seed and the rater's number.

    Side a is on the left in half of the trials, give or take one. The first pair comes again at the end, mirrored.
    """
    rng = Random(f"{study.seed} {rater}")
    order: list[Trial] = []
    kinds: dict[Kind, int] = {"pair": len(study.pairs), "broken": len(study.broken)}
    for kind, count in kinds.items():
        sides = (rng.sample([*OTHER], 2) * count)[:count]
        order += [Trial(kind, scene, left) for scene, left in enumerate(rng.sample(sides, count))]
    rng.shuffle(order)
    first = next(trial for trial in order if trial.kind == "pair")
    return [*order, Trial("mirrored", first.scene, OTHER[first.left])]


def load(folder: Path) -> Study:
    """The study in a folder, with all of its films. Raises GsdError for one that is missing or damaged."""
    file = folder / FILE
    try:
        study = Study.model_validate_json(regular(file).read_bytes())
    except OSError as error:
        raise GsdError(f"{folder} holds no study ({error.strerror}); make one with gsd study make.") from error
    except ValidationError as error:
        raise GsdError(f"{file} is damaged: {complaint(error)}.") from error
    strange = sorted(name for name in study.films if Path(name).name != name or (folder / MEDIA / name).is_symlink())
    if strange:  # another person's study could serve any file of this machine
        raise GsdError(f"{file} names {strange[0]!r}, which is no file of {folder / MEDIA}; make the study anew.")
    absent = sorted(name for name in study.films if not (folder / MEDIA / name).is_file())
    if absent:
        raise GsdError(f"{folder / MEDIA} lacks {', '.join(absent)}; make the study anew.")
    return study


def complaint(error: ValidationError) -> str:
    """The first thing wrong, and where."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"
