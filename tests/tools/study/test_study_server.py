"""What the server says: nothing that tells a condition, nothing from outside the study, no to whatever is wrong."""

import http.client
import json
import shutil
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from studies import NAMES

from gsd.tools.study import patience
from gsd.tools.study.server import server
from gsd.tools.study.study import MEDIA, QUESTIONS, load
from gsd.tools.study.votes import Votes

NAMED = "Study.lab.example"  # by whoever runs it
ASKED = "Which 3D model has fewer faces?"


class Served(NamedTuple):
    address: tuple[str, int]
    votes: Any


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """One study for all, with a question of its own: every test has a rater of its own."""
    copied = shutil.copytree(made, tmp_path_factory.mktemp("server") / "study")
    whole = json.loads((copied / "study.json").read_text())
    whole["questions"]["geometry"] = ASKED
    (copied / "study.json").write_text(json.dumps(whole))
    return copied


@pytest.fixture(scope="module")
def serving(folder):
    study, listener = load(folder), socket.create_server(("127.0.0.1", 0))
    with closing(Votes(folder, study)) as votes:
        running = server(folder, study, votes, [NAMED])
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        yield Served(listener.getsockname(), votes)
        running.should_exit = True
        thread.join()


def ask(serving, method, path, body=None, **headers):
    """Status, headers as text in small letters, body."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.address[1], timeout=10)
    connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), headers)
    response = connection.getresponse()
    found = response.status, f"{response.reason}\n{response.headers}".lower(), response.read()
    connection.close()
    return found


def enrol(serving):
    status, _, body = ask(serving, "POST", "/api/participants")
    assert status == 201
    return json.loads(body)


def sent(position=0, **changes):
    return {"position": position, "choices": dict.fromkeys(QUESTIONS, "left"), "seconds": 6.0} | changes


def test_the_questions_are_those_of_the_study(serving):
    status, _, body = ask(serving, "GET", "/api/study")
    assert (status, json.loads(body)["questions"]) == (200, QUESTIONS | {"geometry": ASKED})


def test_no_byte_tells_a_condition(folder, serving):
    """Whatever is served to a rater, over a whole study: pages, answers, errors, headers and films."""
    served = [
        ask(serving, "GET", path) for path in ("/", "/app.js", "/style.css", "/api/study", "/study.json", "/none")
    ]
    standing = enrol(serving)
    path = f"/api/participants/{standing['id']}"
    while standing["films"]:
        assert standing.keys() == {"id", "answered", "total", "prompt", "films"}
        assert len(standing["films"]) == min(2, standing["total"] - standing["answered"])
        served.append(ask(serving, "GET", f"/media/{standing['films'][0]}"))
        served += [ask(serving, "POST", f"{path}/answers", sent(standing["answered"])) for _ in range(2)]
        served.append(ask(serving, "GET", path))
        standing = json.loads(served[-1][2])
    assert len(served) == 6 + 6 * 4
    everything = b"\n".join(headers.encode() + body for _, headers, body in served).lower()
    study = load(folder)
    telling = {*NAMES, "secret", "noising", "consistency", "loss=", "mirrored", "broken", "spoilt", folder.parent.name}
    telling |= {run for scene in (*study.pairs, *study.broken) for run in scene.runs.values()}
    for word in sorted(telling):
        assert word.lower().encode() not in everything, word
    assert b"full body of a cat" in everything  # the search would find what is there


def test_headers_are_strict(serving, folder):
    film = next(iter(load(folder).films))
    for path in ("/", "/app.js", "/api/study", f"/media/{film}", "/nothing"):
        _, headers, _ = ask(serving, "GET", path)
        policy = headers.split("content-security-policy: ")[1].splitlines()[0]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "unsafe" not in policy
        for wanted in ("nosniff", "no-referrer", "frame-ancestors 'none'", "cache-control: no-store"):
            assert wanted in headers
        for telling in ("server:", "python", "uvicorn", "last-modified", "etag"):
            assert telling not in headers


def test_films_have_their_type_and_head_has_no_body(serving, folder):
    film = next(iter(load(folder).films))
    status, headers, body = ask(serving, "GET", f"/media/{film}")
    assert (status, body) == (200, (folder / MEDIA / film).read_bytes())
    assert "video/mp4" in headers
    status, headers, body = ask(serving, "HEAD", f"/media/{film}")
    assert (status, body) == (200, b"")
    assert f"content-length: {(folder / MEDIA / film).stat().st_size}" in headers


@pytest.mark.parametrize(
    "path",
    [
        "/study.json", "/votes.sqlite", "/media/", "/media/../study.json", "/media/..%2fstudy.json", "/../study.json",
        "//etc/passwd", "/media//etc/passwd", "/assets/app.js", "/app.js/", "/index.html", "/api", "/api/participants/",
        "/api/participants/../study", "/api/participants/none", "/api/participants/%00",
        "/api/participants/' OR 1=1 --".replace(" ", "%20"), "/media/\\..\\study.json",
    ],
)  # fmt: skip
def test_nothing_else_is_there(serving, path):
    enrol(serving)
    status, headers, body = ask(serving, "GET", path)
    assert (status, b"<" in body) == (404, False)
    assert "text/plain" in headers


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"left"', b"[" * 4000, b"\xff\xfe",
        sent(position=-1), sent(position="0"), sent(position=0.5), sent(position=10**30), sent(extra=1),
        sent(seconds=-1), sent(seconds=1e99), sent(seconds=None), sent(seconds="4"),
        sent(choices={"overall": "left"}), sent(choices=dict.fromkeys(QUESTIONS, "middle")),
        sent(choices=dict.fromkeys(QUESTIONS, "left") | {"more": "left"}),
        json.dumps(sent(seconds=float("nan"))).encode(), json.dumps(sent(seconds=float("inf"))).encode(),
        {k: v for k, v in sent().items() if k != "position"},
    ],
)  # fmt: skip
def test_a_wrong_answer_is_refused_and_not_kept(serving, body):
    name = enrol(serving)["id"]
    status, _, reply = ask(serving, "POST", f"/api/participants/{name}/answers", body)
    assert (status, reply != b"") == (422, True)
    assert json.loads(ask(serving, "GET", f"/api/participants/{name}")[2])["answered"] == 0


def test_second_votes_and_strangers_get_a_clear_no(serving):
    path = f"/api/participants/{enrol(serving)['id']}/answers"
    assert ask(serving, "POST", path, sent(0))[0] == 201
    for position in (0, 3):
        status, _, body = ask(serving, "POST", path, sent(position))
        assert (status, body) == (409, b"Trial %d is not due: each is answered once, in order." % (position + 1))
    assert ask(serving, "POST", "/api/participants/0000000000/answers", sent(0))[0] == 404
    assert ask(serving, "PUT", "/api/participants")[0] == ask(serving, "DELETE", path)[0] == 405
    assert ask(serving, "POST", path, b" " * 4097)[0] == ask(serving, "POST", path, b" " * 500_000)[0] == 413


POST = b"POST /api/participants/none/answers HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (POST + b"Content-Length: 9999999999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1001\r\n" + b" " * 4097 + b"\r\n0\r\n\r\n", 413),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"\r\n", 422),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000, 400),
        (POST + b"Content-Length: 20\r\n\r\n{", None),  # and the rest never comes
        (b"GET", None),
    ],
)
def test_malformed_and_broken_requests_harm_nobody(serving, request_bytes, status, caplog):
    with socket.create_connection(serving.address, timeout=10) as connection:
        connection.sendall(request_bytes)
        if status:
            assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())
    enrol(serving)
    assert not caplog.text


def test_a_fault_inside_is_told_to_both_and_harms_nobody_else(serving, caplog, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(serving.votes, "enrol", lambda: 1 / 0)
        status, _, body = ask(serving, "POST", "/api/participants")
    assert (status, body) == (500, b"Internal Server Error")
    enrol(serving)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Host": host}
            for host in ("rebound.example", "127.0.0.1.rebound.example:80", "10.0.0.1", "", "127.0.0.2:80")
        ),
        *({"Origin": origin} for origin in ("http://rebound.example", "null", "http://127.0.0.1:1", "", "file://")),
        {"Host": f"{NAMED}:8000", "Origin": f"https://rebound.example/{NAMED}"},
    ],
)
def test_other_sites_can_neither_look_nor_take_part(serving, headers):
    before = raters(serving)
    for method, path in (("POST", "/api/participants"), ("GET", "/api/study"), ("GET", "/")):
        status, _, body = ask(serving, method, path, **headers)
        assert (status, b"server" in body) == (403, True)
    assert raters(serving) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", NAMED, f"{NAMED.lower()}:443"])
def test_its_own_pages_can(serving, host):
    assert ask(serving, "POST", "/api/participants", Host=host, Origin=f"http://{host}")[0] == 201
    assert ask(serving, "POST", "/api/participants", Host=NAMED, Origin=f"https://{NAMED}:8443")[0] == 201  # a proxy


def raters(serving):
    return serving.votes._database.execute("SELECT count(*) FROM raters").fetchone()[0]


@contextmanager
def another(folder, most, per_address):
    """A server of its own on the same study."""
    study, listener = load(folder), socket.create_server(("127.0.0.1", 0))
    with closing(Votes(folder, study, most)) as votes:
        running = server(folder, study, votes, per_address=per_address)
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        try:
            yield Served(listener.getsockname(), votes)
        finally:
            running.should_exit = True
            thread.join()


def test_enrolment_ends_for_an_address_and_for_all(made, tmp_path):
    """Headers that a proxy would write do not make another address; those who have begun go on."""
    folder = shutil.copytree(made, tmp_path / "study")
    with another(folder, most=5, per_address=3) as small:
        first = enrol(small)["id"]
        found = [ask(small, "POST", "/api/participants", **{"X-Forwarded-For": f"10.0.0.{k}"})[0] for k in range(4)]
        assert found == [201, 201, 429, 429]
        assert ask(small, "POST", f"/api/participants/{first}/answers", sent(0))[0] == 201
    with another(folder, most=5, per_address=3) as small:
        found = [ask(small, "POST", "/api/participants") for _ in range(3)]
        assert [status for status, *_ in found] == [201, 201, 429]
        assert found[-1][2] == b"This study takes no more participants."
        assert raters(small) == 5


def test_connections_that_say_too_little_are_closed(serving, monkeypatch):
    monkeypatch.setattr(patience, "ASKING_S", 0.5)
    post = POST.replace(b"none", enrol(serving)["id"].encode()) + b"Content-Length: 2000\r\n\r\n{"
    with ExitStack() as entered:
        silent = [entered.enter_context(socket.create_connection(serving.address, timeout=20)) for _ in range(50)]
        for connection, said in zip(silent, (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost:", post) * 13, strict=False):
            connection.sendall(said)
        dripping = entered.enter_context(socket.create_connection(serving.address, timeout=20))
        with pytest.raises(OSError):  # noqa: PT011, PT012
            for letter in b"GET / HTTP/1.1\r\nX: " + b"a" * 1000:
                dripping.sendall(bytes([letter]))
                time.sleep(0.02)
        for connection in silent:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    film = next(iter(serving.votes.study.films))
    kept = http.client.HTTPConnection(*serving.address, timeout=10)
    for _ in range(3):  # whoever asks and reads is not cut off
        kept.request("GET", f"/media/{film}")
        assert kept.getresponse().read()
        time.sleep(0.3)
    kept.close()


def test_a_rater_is_told_when_votes_can_no_longer_be_kept(made, tmp_path, capsys):
    """And the terminal says why; the request leaves no traceback."""
    folder = shutil.copytree(made, tmp_path / "study")
    study, listener = load(folder), socket.create_server(("127.0.0.1", 0))
    with closing(Votes(folder, study)) as votes:
        running = server(folder, study, votes)
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        there = Served(listener.getsockname(), votes)
        enrol(there)
        votes._database.close()  # as good as a disk that is gone
        status, _, body = ask(there, "POST", "/api/participants")
        running.should_exit = True
        thread.join()
    assert (status, body) == (503, b"Answers cannot be kept at the moment; please tell whoever invited you.")
    told = capsys.readouterr().err
    assert "votes.sqlite cannot be used" in told
    assert "Traceback" not in told
