"""votes.sqlite: who saw what on which side, and answered what. An answer that was acknowledged is on the disk."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from gsd.errors import GsdError
from gsd.tools.study.study import OTHER, QUESTIONS, VOTES, Kind, Question, Side, Study, complaint, trials

MOST = 2000  # raters in all
Choice = Literal["left", "right"]
SCHEMA = """
CREATE TABLE IF NOT EXISTS study (digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS votes (
    rater INTEGER NOT NULL REFERENCES raters (number), position INTEGER NOT NULL,
    kind TEXT NOT NULL, scene INTEGER NOT NULL, left_side TEXT NOT NULL,
    geometry TEXT NOT NULL, prompt TEXT NOT NULL, overall TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (rater, position)
);
"""


class Answer(BaseModel, extra="forbid", strict=True):
    """To the three questions of a trial, as the page sends it."""

    position: Annotated[int, Field(ge=0, le=100_000)]  # of the trial, from 0
    choices: Annotated[dict[Question, Choice], Field(min_length=len(QUESTIONS))]
    seconds: Annotated[float, Field(ge=0, le=30 * 86400, allow_inf_nan=False)]  # since the film could be seen


class Vote(NamedTuple):
    """A row of the table: what a rater was shown, and the three answers."""

    rater: int
    position: int
    kind: Kind
    scene: int
    left: Side
    geometry: Choice
    prompt: Choice
    overall: Choice
    seconds: float

    def preferred(self, question: Question) -> Side:
        """The side, wherever it was shown."""
        return self.left if getattr(self, question) == "left" else OTHER[self.left]


class RefusedError(Exception):
    """A sentence that says why, and HTTP's status."""


class Votes:
    """One connection for all threads of a server, used by one at a time.

    Raises GsdError where votes were cast on another version of study.json.
    """

    def __init__(self, folder: Path, study: Study, most: int = MOST) -> None:
        self.file, self.study, self.most, self._lock = folder / VOTES, study, most, threading.Lock()
        with _usable(self.file):
            self._database = sqlite3.connect(self.file, timeout=30, check_same_thread=False)
            # FULL: a commit waits for the disk, so that not even a power failure takes an acknowledged vote
            self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + SCHEMA)
            _check(self._database, study)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def enrol(self) -> str:
        """A new rater's id. The first one fixes the study. Raises RefusedError where there are enough."""
        name = secrets.token_hex(8)
        with self._transaction() as database:
            database.execute("INSERT INTO study SELECT ? WHERE NOT EXISTS (SELECT * FROM study)", [self.study.digest])
            _check(database, self.study)
            if database.execute("SELECT count(*) FROM raters").fetchone()[0] >= self.most:
                raise RefusedError("This study takes no more participants.", 429)
            database.execute("INSERT INTO raters (id) VALUES (?)", [name])
        return name

    def standing(self, name: str) -> tuple[int, int]:
        """The number of the rater with this id, and how many trials are answered. Raises RefusedError."""
        query = "SELECT number, count(position) FROM raters LEFT JOIN votes ON rater = number WHERE id = ?"
        with self._transaction() as database:
            found = database.execute(query + " GROUP BY number", [name]).fetchone()
        if not found:
            raise RefusedError("No participant has this id.", 404)
        return found

    def answer(self, name: str, answer: Answer) -> str:
        """Keep an answer of the rater with this id. Raises RefusedError, with nothing kept."""
        number, answered = self.standing(name)
        refused = RefusedError(f"Trial {answer.position + 1} is not due: each is answered once, in order.", 409)
        if answer.position != answered or answered == self.study.total:
            raise refused
        trial = trials(self.study, number)[answered]
        row = (number, answered, *trial, *(answer.choices[question] for question in QUESTIONS), answer.seconds)
        with self._transaction() as database:
            try:
                database.execute(f"INSERT INTO votes VALUES ({', '.join('?' * len(row))})", row)
            except sqlite3.IntegrityError:  # another window was faster
                raise refused from None
        return name

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it is kept, or nothing. Raises GsdError where the file has been damaged meanwhile."""
        with self._lock, _usable(self.file), self._database as database:
            yield database


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    """Raises GsdError for what the database says of a damaged file, or the system of its path."""
    try:
        yield
    except (sqlite3.Error, UnicodeError, OSError) as error:
        raise GsdError(f"{file} cannot be used: {error}.") from error


def _check(database: sqlite3.Connection, study: Study) -> None:
    found = database.execute("SELECT digest FROM study").fetchone()
    if found and found[0] != study.digest:
        raise GsdError("study.json has changed since the first participant. Put the old one back, or make a new study.")


def read(folder: Path, study: Study) -> list[Vote]:
    """All votes, by rater and in order; a study that goes on is not disturbed.

    Raises GsdError where nobody has taken part, the file is damaged, or study.json has changed since the first vote.
    """
    file = folder / VOTES
    if not file.is_file():
        raise GsdError(f"{folder} has no votes; they come with gsd study serve {folder}.")
    with _usable(file), closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as votes:
        _check(votes, study)
        rows = votes.execute("SELECT * FROM votes ORDER BY rater, position").fetchall()
    return _checked(folder, study, rows)


def _checked(folder: Path, study: Study, rows: list[Any]) -> list[Vote]:
    """The rows as votes on scenes that the study has; another program may have written them."""
    try:
        votes = TypeAdapter(list[Vote]).validate_python(rows)
    except ValidationError as error:
        raise GsdError(f"{folder / VOTES} is damaged: {complaint(error)}; put a copy back.") from error
    scenes = {"pair": len(study.pairs), "mirrored": len(study.pairs), "broken": len(study.broken)}
    if not all(0 <= vote.scene < scenes[vote.kind] for vote in votes):
        raise GsdError(f"{folder / VOTES} is damaged: it has votes on scenes that the study lacks; put a copy back.")
    return votes
