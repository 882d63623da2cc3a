"""Votes are kept once, in order, under the rules they were cast under."""

import sqlite3
import threading
from contextlib import closing

import pytest
from pydantic import ValidationError
from studies import study

from gsd.errors import GsdError
from gsd.tools.study.study import OTHER, QUESTIONS, Scene, Study, trials
from gsd.tools.study.votes import Answer, RefusedError, Votes, read


def answer(position, side="left"):
    return Answer(position=position, choices=dict.fromkeys(QUESTIONS, side), seconds=4.0)


@pytest.fixture
def votes(tmp_path):
    with closing(Votes(tmp_path, study())) as votes:
        yield votes


def test_answers_come_back_as_they_were_given(votes, tmp_path):
    name = votes.enrol()
    assert votes.standing(name) == (1, 0)
    sides = {"geometry": "left", "prompt": "right", "overall": "left"}
    for position in range(study().total):
        votes.answer(name, Answer(position=position, choices=dict(reversed(sides.items())), seconds=position))
        assert votes.standing(name) == (1, position + 1)
    found = read(tmp_path, study())
    assert [v[2:5] for v in found] == trials(study(), 1)
    for position, v in enumerate(found):
        assert v[5:] == (*sides.values(), position)
        assert [v.preferred(question) for question in QUESTIONS] == [v.left, OTHER[v.left], v.left]


def test_only_the_first_answer_counts_and_only_in_order(votes, tmp_path):
    name = votes.enrol()
    votes.answer(name, answer(0, "left"))
    for position in (0, 2, 7):
        with pytest.raises(RefusedError, match=f"Trial {position + 1} is not due"):
            votes.answer(name, answer(position, "right"))
    for position in range(1, study().total):
        votes.answer(name, answer(position))
    with pytest.raises(RefusedError, match="Trial 8 is not due"):
        votes.answer(name, answer(study().total))
    with pytest.raises(RefusedError, match="No participant"):
        votes.answer("nobody", answer(0))
    assert [v.overall for v in read(tmp_path, study())] == ["left"] * study().total


def test_the_database_itself_refuses_a_second_vote(votes, tmp_path):
    votes.answer(votes.enrol(), answer(0))
    with closing(sqlite3.connect(tmp_path / "votes.sqlite")) as database:
        row = database.execute("SELECT * FROM votes").fetchone()
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            database.execute(f"INSERT INTO votes VALUES ({', '.join('?' * len(row))})", row)


def test_a_commit_waits_for_the_disk(votes):
    assert votes._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert votes._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("servers", [1, 2])
def test_of_many_windows_one_wins(votes, tmp_path, servers):
    """Twenty answers to the same trial at the same time, to one server or to two of the same study: one is kept."""
    other = Votes(tmp_path, study())
    name, outcomes, together = votes.enrol(), [], threading.Barrier(20)

    def send(server):
        together.wait()
        try:
            server.answer(name, answer(0))
            outcomes.append("kept")
        except RefusedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=send, args=([votes, other][k % servers],)) for k in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept", *["refused"] * 19]
    assert votes.standing(name) == other.standing(name) == (1, 1)
    assert other.enrol() != name
    other.close()


def test_rules_cannot_be_changed_after_the_first_participant(votes, tmp_path):
    lenient = study(wrong_allowed=6)
    with closing(Votes(tmp_path, lenient)) as other:  # nobody has taken part yet
        votes.enrol()
        with pytest.raises(GsdError, match=r"study\.json has changed"):
            other.enrol()
    for refused in (Votes, read):
        with pytest.raises(GsdError, match=r"study\.json has changed"):
            refused(tmp_path, lenient)
    assert read(tmp_path, study()) == []


def test_a_damaged_database_is_named(tmp_path):
    with pytest.raises(GsdError, match=r"has no votes; they come with gsd study serve"):
        read(tmp_path, study())
    (tmp_path / "votes.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(GsdError, match=r"votes\.sqlite cannot be used"):
        Votes(tmp_path, study())
    with pytest.raises(GsdError, match=r"cannot be used: file is not a database"):
        read(tmp_path, study())


def test_a_study_of_an_earlier_version_keeps_its_votes_and_questions_are_fixed_too():
    """The digest of a study with the paper's questions is what it was when studies did not name them."""
    scene = Scene(prompt="animal 0", seed=0, runs={"a": "x", "b": "y"}, films={"a": "1", "b": "2"})
    plain = Study(names=("plain", "better"), seed=7, pairs=(scene,), broken=())
    assert plain.digest == "8335ce2fb73e6767c57dbe36e2706641"
    other = plain.model_copy(update={"questions": QUESTIONS | {"geometry": "Which has fewer faces?"}})
    assert other.digest != plain.digest
    assert list(Study.model_validate_json(other.model_dump_json()).questions) == list(QUESTIONS)
    with pytest.raises(ValidationError):
        Study.model_validate(plain.model_dump() | {"questions": {"geometry": "Which?"}})
