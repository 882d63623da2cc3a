"""votes.sqlite: who saw what on which side, and answered what. An answer that was acknowledged is on the disk."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gsd.errors import GsdError
from gsd.tools.study.design import Trial, trials
from gsd.tools.study.study import QUESTIONS, VOTES, Question, Study

Choice = Literal["left", "right", "tie"]
Seconds = Annotated[float, Field(ge=0, le=30 * 86400, allow_inf_nan=False)]
Size = Annotated[list[Annotated[int, Field(ge=0, le=100_000)]], Field(min_length=2, max_length=2)]  # pixels
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS study (digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS participants (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    consented TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS trials (
    participant INTEGER NOT NULL REFERENCES participants (number),
    position INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('pair', 'mirrored', 'broken')),
    scene INTEGER NOT NULL,
    left_side TEXT NOT NULL CHECK (left_side IN ('a', 'b')),
    PRIMARY KEY (participant, position)
);
CREATE TABLE IF NOT EXISTS answers (
    participant INTEGER NOT NULL,
    position INTEGER NOT NULL,
    {" ".join(f"{q} TEXT NOT NULL CHECK ({q} IN ('left', 'right', 'tie'))," for q in QUESTIONS)}
    {" ".join(f"{q}_seconds REAL NOT NULL," for q in QUESTIONS)}
    seconds REAL NOT NULL,
    screen_size TEXT NOT NULL,
    window_size TEXT NOT NULL,
    PRIMARY KEY (participant, position),
    FOREIGN KEY (participant, position) REFERENCES trials (participant, position)
);
"""


class Answer(BaseModel):
    """To the three questions of a trial, as the page sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    position: Annotated[int, Field(ge=0, le=100_000)]  # of the trial, from 0
    choices: Annotated[dict[Question, Choice], Field(min_length=len(QUESTIONS))]
    # From when both sides could be seen to the last choice
    seconds: Annotated[dict[Question, Seconds], Field(min_length=len(QUESTIONS))]
    total: Seconds  # until it was sent
    screen: Size
    window: Size


@dataclass(frozen=True)
class Standing:
    """Where a participant is."""

    answered: int
    trials: list[Trial]

    @property
    def total(self) -> int:
        return len(self.trials)


class RefusedError(Exception):
    """An answer that does not count; the message says why."""


class UnknownError(RefusedError):
    """No participant has this id."""


class Votes:
    """One connection for all threads of a server, used by one at a time.

    Raises GsdError where votes were cast on another version of study.json.
    """

    def __init__(self, folder: Path, study: Study) -> None:
        self.study, self._lock = study, threading.Lock()
        try:
            self._database = sqlite3.connect(folder / VOTES, timeout=30, isolation_level=None, check_same_thread=False)
            # FULL: a commit waits for the disk, so that not even a power failure takes an acknowledged vote
            self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
            self._database.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise GsdError(f"{folder / VOTES} cannot be used: {error}.") from error
        with self._changing() as database:
            check(database, study)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is kept, on the disk, or nothing."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    def enrol(self, now: str) -> str:
        """A new participant's id. The trials are dealt, and stored, here."""
        name = secrets.token_hex(5)
        with self._changing() as database:
            if not database.execute("SELECT digest FROM study").fetchone():
                database.execute("INSERT INTO study VALUES (?)", [self.study.digest])
            added = database.execute("INSERT INTO participants (id, consented) VALUES (?, ?)", [name, now])
            number = added.lastrowid
            assert number is not None
            database.executemany(
                "INSERT INTO trials VALUES (?, ?, ?, ?, ?)",
                [(number, k, t.kind, t.scene, t.left) for k, t in enumerate(trials(self.study, number - 1))],
            )
        return name

    def standing(self, name: str) -> Standing:
        """Of the participant with this id. Raises UnknownError."""
        with self._lock:
            return _standing(self._database, _number(self._database, name))

    def answer(self, name: str, answer: Answer) -> Standing:
        """Keep an answer; returns where the participant is then. Raises RefusedError, with nothing kept."""
        with self._changing() as database:
            number = _number(database, name)
            before = _standing(database, number)
            if answer.position >= before.total:
                raise RefusedError(f"There is no trial {answer.position + 1}; there are {before.total}.")
            if answer.position < before.answered:
                raise RefusedError(f"Trial {answer.position + 1} has been answered; the first answer counts.")
            if answer.position > before.answered:
                raise RefusedError(f"Trial {before.answered + 1} comes first.")
            if "tie" in answer.choices.values() and not self.study.tie:
                raise RefusedError("Please choose left or right.")
            row = [*answer.choices.values(), *answer.seconds.values()]
            columns = [*answer.choices, *(f"{question}_seconds" for question in answer.seconds)]
            database.execute(
                f"INSERT INTO answers (participant, position, seconds, screen_size, window_size, {', '.join(columns)}) "
                f"VALUES (?, ?, ?, ?, ?, {', '.join('?' * len(columns))})",
                [number, answer.position, answer.total, _by(answer.screen), _by(answer.window), *row],
            )
        return Standing(before.answered + 1, before.trials)


def check(database: sqlite3.Connection, study: Study) -> None:
    """Raises GsdError where the first vote was cast on another study.json."""
    found = database.execute("SELECT digest FROM study").fetchone()
    if found and found[0] != study.digest:
        raise GsdError(
            "study.json has been changed since the first participant: its rules must be fixed beforehand. "
            "Put the old one back, or make a new study."
        )


def _number(database: sqlite3.Connection, name: str) -> int:
    found = database.execute("SELECT number FROM participants WHERE id = ?", [name]).fetchone()
    if not found:
        raise UnknownError("No participant has this id.")
    return found[0]


def _standing(database: sqlite3.Connection, number: int) -> Standing:
    dealt = database.execute(
        "SELECT kind, scene, left_side FROM trials WHERE participant = ? ORDER BY position", [number]
    ).fetchall()
    (answered,) = database.execute("SELECT count(*) FROM answers WHERE participant = ?", [number]).fetchone()
    return Standing(answered, [Trial(*row) for row in dealt])


def _by(size: list[int]) -> str:
    return f"{size[0]}x{size[1]}"
