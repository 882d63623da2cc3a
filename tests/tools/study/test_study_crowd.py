"""Many raters at the same time, and a server that is killed among them: every acknowledged vote is there, once."""

import http.client
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from crowd import served, simulate
from launch import ROOT, start

from gsd.tools.study.__main__ import main
from gsd.tools.study.study import QUESTIONS, load
from gsd.tools.study.votes import read


def compare(folder, raters):
    """What the server acknowledged, and what is in the database, are the same; nothing else is there."""
    with closing(sqlite3.connect(folder / "votes.sqlite")) as database:
        numbers = dict(database.execute("SELECT id, number FROM raters"))
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = read(folder, load(folder))
    stored = {(v.rater, v.position): {q: getattr(v, q) for q in QUESTIONS} for v in found}
    assert len(stored) == len(found)
    for rater in raters:
        assert {p: stored[numbers[rater.id], p] for p in rater.acknowledged} == rater.acknowledged
    finished, total = {numbers[rater.id] for rater in raters}, load(folder).total
    assert len(finished) == len(raters)
    assert set(stored) == {(number, position) for number in finished for position in range(total)}


def test_two_hundred_raters_at_the_same_time(folder):
    with served(folder) as (url, _):
        raters = simulate(url, load(folder), 200)
    compare(folder, raters)
    assert sum(len(rater.acknowledged) for rater in raters) == 200 * 6


@pytest.mark.parametrize("crowd", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_a_server_killed_in_the_middle_loses_nothing(folder, crowd):
    """kill -9, three times, each time while raters are voting; they go on with the next server at the same port."""
    study, outcome = load(folder), []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def votes():
        return len(read(folder, study)) if (folder / "votes.sqlite").exists() else 0

    def take_part():  # thinking, or all might be over before the kill
        outcome.extend(simulate(f"http://127.0.0.1:{port}/", study, crowd, thinks=0.2))

    raters = threading.Thread(target=take_part)
    for round_, wanted in enumerate((crowd // 2, crowd * 9 // 4, crowd * 4, None)):
        with served(folder, port) as (_, server):
            if round_ == 0:
                raters.start()
            if wanted is None:
                raters.join(600)
                break
            deadline = time.monotonic() + 30 + crowd
            while votes() < wanted and time.monotonic() < deadline:
                time.sleep(0.002)
            server.kill()
            server.wait()
        assert wanted <= votes() < crowd * 6  # it was in the middle
    assert len(outcome) == crowd
    compare(folder, outcome)


def test_a_wrong_or_taken_address_is_named(folder, monkeypatch):
    with served(folder) as (url, _):
        taken = url.rpartition(":")[2].strip("/")
        for option, wrong in (
            ("--port", taken),
            ("--port", "70000"),
            ("--host", "256.0.0.1"),
            ("--host", "fe80::zz"),
            ("--host", "a" * 300),
        ):
            monkeypatch.setattr(sys, "argv", ["gsd study", "serve", str(folder), option, wrong])
            with pytest.raises(SystemExit, match=rf"^error: .*{wrong}.* cannot be used .*choose another"):
                main()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--host", ""), "The host needs an address to listen at"),
        (("--raters", "0"), "--raters 0: must be at least 1"),
        (("--per-address", "-3"), "--per-address -3: must be at least 1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(folder, refusal, option, sentence):
    assert sentence in refusal(main, "serve", folder, *option)


def test_all_networks_are_warned_of(folder):
    server = start(ROOT, "study", "serve", str(folder), "--port", "0", "--host", "0.0.0.0")
    assert server.stdout.readline().startswith(f"http://{socket.gethostname()}:")
    server.terminate()
    assert "0.0.0.0 is every network of this machine" in server.communicate(timeout=30)[1]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_cleanly_and_is_for_this_machine_alone(folder, stop):
    """At once, though a rater's connection is open."""
    with served(folder) as (url, server):
        assert url.startswith("http://127.0.0.1:")
        rater = http.client.HTTPConnection(url.split("/")[2])
        rater.request("GET", "/api/study")
        assert rater.getresponse().read()
        server.send_signal(stop)
        said, complained = server.communicate(timeout=5)
        rater.close()
    assert (server.returncode, said, complained) == (0, "Stopped.\n", "")


def test_without_the_extra_only_the_page_is_lacking(folder, monkeypatch):
    """make and analyse do not need it."""
    command = "import gsd.tools.study.make, gsd.tools.study.analyse, sys; print({*sys.modules} & {*sys.argv[1:]})"
    found = subprocess.run(
        [sys.executable, "-c", command, "starlette", "uvicorn"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"
    monkeypatch.delitem(sys.modules, "gsd.tools.study.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr(sys, "argv", ["gsd study", "serve", str(folder)])
    with pytest.raises(
        SystemExit, match=r"^error: The page needs the package uvicorn: pip install -e '\.\[study\]' in"
    ):
        main()
