"""Damaged studies of raters, taken up by the server's votes and by the analysis: a result or a sentence.

And a study's server among strangers: nothing of other files, no fault inside, and only votes that were cast.
"""

import json
import shutil
import socket
import sqlite3
import threading
import time
import traceback
from contextlib import ExitStack, closing, contextmanager

import pytest
from damage import VALUES, flipped, hurt
from fuzzing import HangError, at_most, fault, gathered, report
from hostile import answered, asked, crowd, served, spoilt
from launch import SMALL, launch

from gsd.__main__ import main
from gsd.errors import GsdError
from gsd.tools.study import patience
from gsd.tools.study.analyse import analyse
from gsd.tools.study.make import make
from gsd.tools.study.server import server
from gsd.tools.study.study import QUESTIONS, load, trials
from gsd.tools.study.votes import VOTES, Answer, RefusedError, Votes, read

RATERS = 3


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A study of four pairs that three raters have voted on."""
    root = tmp_path_factory.mktemp("studies")
    size = (*SMALL, "turntable.views=12", "turntable.resolution=16", "metric=none", "steps=1")
    for method in ("random", "consistent"):
        for seed in range(4):
            launch(root / method / f"run{seed}", *size, f"noising={method}", "loss=none", f"seed={seed}")
    folder = root / "study"
    make([str(root / "random"), str(root / "consistent")], folder)
    vote(folder, RATERS)
    assert analyse(load(folder), read(folder, load(folder)))["raters"] == RATERS
    return folder


def vote(folder, raters):
    """New raters answer all that they are asked, slowly, and never for a spoilt scene, so that they count."""
    study = load(folder)
    with closing(Votes(folder, study)) as votes:
        for _ in range(raters):
            name = votes.enrol()
            for position, trial in enumerate(trials(study, votes.standing(name)[0])):
                choice = "left" if trial.left == "a" else "right"
                votes.answer(name, Answer(position=position, choices=dict.fromkeys(QUESTIONS, choice), seconds=9.0))
    return len(read(folder, study))


def mutated_votes(rng, folder):
    """A value of the database is another, a row is there twice, or bits are flipped."""
    file = folder / VOTES
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if rng.random() < 0.7:
            column = rng.choice(["rater", "position", "kind", "scene", "left", "geometry", "overall", "seconds"])
            value = rng.choice([value for value in VALUES if not isinstance(value, list | dict)])
            if isinstance(value, int) and abs(value) > 2**62:
                value = str(value)
            try:
                database.execute(f"UPDATE OR IGNORE votes SET {column} = ? WHERE rater = 1 AND position = 2", [value])
            except (sqlite3.Error, UnicodeError):
                database.execute("UPDATE raters SET number = 900 WHERE number = 1")
            return f"a vote's {column} is {value!r}"
    flipped(rng, file)
    return "bits of the votes are flipped"


def taken_up(folder):
    """What a server does that starts on it again."""
    try:
        with at_most():
            vote(folder, 1)
    except (GsdError, RefusedError):
        return None
    except (Exception, HangError):
        return f"served\n{traceback.format_exc()[-1500:]}"
    return None


def tried(number, rng, template, tmp_path):
    """The faults of one case; votes that were cast before are never fewer in a result."""
    folder = tmp_path / f"{number}"
    shutil.copytree(template, folder, symlinks=True)
    what = mutated_votes(rng, folder) if rng.random() < 0.5 else hurt(rng, folder)
    faults = [fault(main, "study", "analyse", folder), taken_up(folder), fault(main, "study", "analyse", folder)]
    result = folder / "result.json"
    if faults == [None] * 3 and "vote" not in what and result.is_file():
        raters = json.loads(result.read_text())["raters"]
        faults.append(f"lost\n{raters} raters" if raters < RATERS else None)
    shutil.rmtree(folder, ignore_errors=True)
    return [f"{what}: {each}" for each in faults if each]


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=pytest.mark.slow)])
def test_damaged_studies(count, template, tmp_path):
    found = gathered(tried, "studies", count, template, tmp_path)
    assert not found, report(found)


@contextmanager
def serving(folder):
    """Its port, and its votes."""
    study, listener = load(folder), socket.create_server(("127.0.0.1", 0))
    with closing(Votes(folder, study)) as votes:
        running = server(folder, study, votes)
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1], votes
        finally:
            running.should_exit = True
            thread.join()


def posted(rng, port, rater):
    """A first answer with something wrong in it, or nothing; whether it was taken."""
    right = {"position": 0, "choices": dict.fromkeys(QUESTIONS, "left"), "seconds": 9.0}
    try:
        body = json.dumps(spoilt(rng, right)).encode()
    except TypeError:  # no JSON
        body = b"\xff{"
    head = f"POST /api/participants/{rater}/answers HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
    answer = asked(port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert answer[9:12] in (b"201", b"409", b"413", b"422"), (body[:300], answer[:300])
    return answer[9:12] == b"201"


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_study_among_strangers(template, tmp_path, count, capfd):
    folder = shutil.copytree(template, tmp_path / "study")
    before, taken = len(read(folder, load(folder))), 0

    def tried(number, rng):
        nonlocal taken
        if rng.random() < 0.5:
            taken += posted(rng, port, votes.enrol())
            return []
        return [text for text in [answered(rng, port)] if text]

    with serving(folder) as (port, votes):
        found = gathered(tried, "strangers", count)
    assert not found, report(found)
    assert len(read(folder, load(folder))) == before + taken
    assert 0 < taken < count / 2
    assert "Traceback" not in capfd.readouterr().err


def test_a_crowd_that_says_nothing_does_not_keep_raters_out(template, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(patience, "most_connections", lambda: 30)
    monkeypatch.setattr(patience, "ASKING_S", 1.0)
    folder = shutil.copytree(template, tmp_path / "study")
    with serving(folder) as (port, _), ExitStack() as entered:
        crowd(entered, port, 300)
        end = time.monotonic() + 60
        while not served(port):
            assert time.monotonic() < end
    assert capfd.readouterr().err == ""
