"""Votes are kept once, in order, under the rules they were cast under."""

import sqlite3
import threading
from contextlib import closing

import pytest
from studies import study

from gsd.errors import GsdError
from gsd.tools.study.analysis import read
from gsd.tools.study.study import QUESTIONS
from gsd.tools.study.votes import Answer, RefusedError, Votes

NOW = "2026-01-01T00:00:00+00:00"


def answer(position, side="left"):
    choices, seconds = dict.fromkeys(QUESTIONS, side), dict.fromkeys(QUESTIONS, 4.0)
    return Answer(
        position=position, choices=choices, seconds=seconds, total=5.0, screen=[1920, 1080], window=[1200, 800]
    )


@pytest.fixture
def votes(tmp_path):
    votes = Votes(tmp_path, study())
    yield votes
    votes.close()


def test_answers_come_back_as_they_were_given(votes, tmp_path):
    name = votes.enrol(NOW)
    standing = votes.standing(name)
    assert (standing.answered, standing.total) == (0, 4 + 1 + 2)
    for position in range(3):
        side = ("left", "right", "left")[position]
        assert votes.answer(name, answer(position, side)).answered == position + 1
    found, dealt = read(tmp_path, study())
    assert dealt == {1: 7}
    assert [(v.kind, v.scene, v.left) for v in found] == [(t.kind, t.scene, t.left) for t in standing.trials[:3]]
    for v, side in zip(found, ("left", "right", "left"), strict=True):
        assert v.choices == dict.fromkeys(QUESTIONS, side)
        assert v.preferred("overall") == (v.left if side == "left" else {"a": "b", "b": "a"}[v.left])


def test_only_the_first_answer_counts_and_only_in_order(votes, tmp_path):
    name = votes.enrol(NOW)
    votes.answer(name, answer(0, "left"))
    for position, why in ((0, "Trial 1 has been answered"), (2, "Trial 2 comes first"), (7, "no trial 8")):
        with pytest.raises(RefusedError, match=why):
            votes.answer(name, answer(position, "right"))
    with pytest.raises(RefusedError, match="No participant"):
        votes.answer("nobody", answer(0))
    (only,), _ = read(tmp_path, study())
    assert only.choices["overall"] == "left"


def test_no_difference_is_an_answer_only_where_the_study_says_so(votes, tmp_path):
    name = votes.enrol(NOW)
    with pytest.raises(RefusedError, match="Please choose left or right"):
        votes.answer(name, answer(0, "tie"))
    assert votes.standing(name).answered == 0
    (tmp_path / "ties").mkdir()
    with closing(Votes(tmp_path / "ties", study(tie=True))) as lenient:
        assert lenient.answer(lenient.enrol(NOW), answer(0, "tie")).answered == 1


def test_the_database_itself_refuses_a_second_vote(votes, tmp_path):
    name = votes.enrol(NOW)
    votes.answer(name, answer(0))
    database = sqlite3.connect(tmp_path / "votes.sqlite")
    row = database.execute("SELECT * FROM answers").fetchone()
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        database.execute(f"INSERT INTO answers VALUES ({', '.join('?' * len(row))})", row)
    database.close()


def test_of_two_windows_one_wins(votes):
    """Twenty answers to the same trial at the same time: one is kept."""
    name, outcomes, together = votes.enrol(NOW), [], threading.Barrier(20)

    def send():
        together.wait()
        try:
            votes.answer(name, answer(0))
            outcomes.append("kept")
        except RefusedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept", *["refused"] * 19]
    assert votes.standing(name).answered == 1


def test_two_servers_may_share_a_study(votes, tmp_path):
    other = Votes(tmp_path, study())
    name = votes.enrol(NOW)
    assert other.standing(name).answered == 0
    other.answer(name, answer(0))
    with pytest.raises(RefusedError):
        votes.answer(name, answer(0))
    assert other.enrol(NOW) != name
    other.close()


def test_rules_cannot_be_changed_after_the_first_participant(votes, tmp_path):
    lenient = study(rules={"wrong_allowed": 6})
    Votes(tmp_path, lenient).close()  # nobody has taken part yet
    votes.enrol(NOW)
    with pytest.raises(GsdError, match="rules must be fixed beforehand"):
        Votes(tmp_path, lenient)
    with pytest.raises(GsdError, match="rules must be fixed beforehand"):
        read(tmp_path, lenient)
    read(tmp_path, study())


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "votes.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(GsdError, match=r"votes\.sqlite cannot be used"):
        Votes(tmp_path, study())
    with pytest.raises(GsdError, match=r"votes\.sqlite cannot be read"):
        read(tmp_path, study())
