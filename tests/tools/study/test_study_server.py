"""What the server says: nothing that tells a condition, nothing from outside the study, no to whatever is wrong."""

import http.client
import json
import socket
import threading
from typing import Any, NamedTuple

import pytest
from studies import NAMES

from gsd.tools.study.make import Options, make
from gsd.tools.study.server import LARGEST_BODY, server
from gsd.tools.study.study import MEDIA, QUESTIONS, load
from gsd.tools.study.votes import Votes


class Served(NamedTuple):
    address: tuple[str, int]
    votes: Any


JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def folder(sets, tmp_path_factory):
    """One study for all: every test has a rater of its own."""
    folder = tmp_path_factory.mktemp("server") / "study"
    make(sets, folder, Options(seed=3, broken=1, names=NAMES))
    return folder


@pytest.fixture(scope="module")
def serving(folder):
    study = load(folder)
    votes, listener = Votes(folder, study), socket.create_server(("127.0.0.1", 0))
    running = server(folder, study, votes)
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    yield Served(listener.getsockname(), votes)
    running.should_exit = True
    thread.join()
    votes.close()


def ask(serving, method, path, body=None, headers=JSON):
    """Status, headers as text in small letters, body."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.address[1], timeout=10)
    connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), headers)
    response = connection.getresponse()
    found = response.status, f"{response.reason}\n{response.headers}".lower(), response.read()
    connection.close()
    return found


def enrol(serving):
    status, _, body = ask(serving, "POST", "/api/participants", {"consent": True})
    assert status == 201
    return json.loads(body)


def sent(position=0, **changes):
    return {
        "position": position,
        "choices": dict.fromkeys(QUESTIONS, "left"),
        "seconds": dict.fromkeys(QUESTIONS, 4.5),
        "total": 6.0,
        "screen": [1920, 1080],
        "window": [1280, 800],
    } | changes


def test_no_byte_tells_a_condition(folder, serving):
    """Whatever is served to a rater, over a whole study: pages, answers, errors, headers and media."""
    served = [
        ask(serving, "GET", path) for path in ("/", "/app.js", "/style.css", "/api/study", "/study.json", "/none")
    ]
    standing = enrol(serving)
    while standing["trial"]:
        trial = standing["trial"]
        served += [ask(serving, "GET", f"/media/{trial[side]}") for side in ("left", "right")]
        served.append(ask(serving, "POST", f"/api/participants/{standing['id']}/answers", sent(trial["position"])))
        served.append(ask(serving, "POST", f"/api/participants/{standing['id']}/answers", sent(trial["position"])))
        served.append(ask(serving, "GET", f"/api/participants/{standing['id']}"))
        standing = json.loads(served[-1][2])
    assert len(served) == 6 + 5 * 5
    everything = b"\n".join(headers.encode() + body for _, headers, body in served).lower()
    study = load(folder)
    telling = {
        *NAMES,
        "secret",
        "noising",
        "consistency",
        "loss=",
        "mirrored",
        "broken",
        str(folder),
        folder.parent.name,
    }
    telling |= {shown.run for scene in (*study.pairs, *study.broken) for shown in (scene.a, scene.b)}
    for word in sorted(telling):
        assert word.lower().encode() not in everything, word
    assert b"full body of a cat" in everything  # the search would find what is there


def test_a_trial_says_nothing_but_what_is_shown(serving):
    standing = enrol(serving)
    assert standing.keys() == {"id", "answered", "total", "trial", "soon"}
    assert standing["trial"].keys() == {"position", "prompt", "left", "right"}
    assert len(standing["soon"]) == 2


def test_headers_are_strict(serving, folder):
    media = next(iter(load(folder).media))
    for path in ("/", "/app.js", "/api/study", f"/media/{media}", "/nothing"):
        _, headers, _ = ask(serving, "GET", path)
        policy = headers.split("content-security-policy: ")[1].splitlines()[0]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "unsafe" not in policy
        for wanted in ("nosniff", "no-referrer", "x-frame-options: deny"):
            assert wanted in headers
        for telling in ("server:", "python", "uvicorn", "last-modified", "etag"):
            assert telling not in headers
        kept = "private, max-age=86400, immutable" if path.startswith("/media/") else "no-store"
        assert (f"cache-control: {kept}" in headers) == (path != "/nothing")


def test_media_have_their_type_and_head_has_no_body(serving, folder):
    media = next(iter(load(folder).media))
    status, headers, body = ask(serving, "GET", f"/media/{media}")
    assert (status, body) == (200, (folder / MEDIA / media).read_bytes())
    assert "video/mp4" in headers
    status, headers, body = ask(serving, "HEAD", f"/media/{media}")
    assert (status, body) == (200, b"")
    assert f"content-length: {(folder / MEDIA / media).stat().st_size}" in headers


@pytest.mark.parametrize(
    "path",
    [
        "/study.json", "/votes.sqlite", "/media/", "/media/../study.json", "/media/..%2fstudy.json", "/../study.json",
        "//etc/passwd", "/media//etc/passwd", "/assets/app.js", "/app.js/", "/api", "/api/participants/",
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
        b"", b"{", b"null", b"[]", b'"left"', b"[" * 4000, b"\xff\xfe", {"consent": True},
        sent(position=-1), sent(position="0"), sent(position=0.5), sent(position=10**30), sent(extra=1), sent(total=-1),
        sent(total=1e99), sent(total=None), sent(screen=[1]), sent(screen=[1, -2]), sent(window="1280x800"),
        sent(choices={"overall": "left"}), sent(choices=dict.fromkeys(QUESTIONS, "middle")),
        sent(choices=dict.fromkeys(QUESTIONS, "left") | {"more": "left"}),
        sent(seconds=dict.fromkeys(QUESTIONS, "4")), json.dumps(sent(total=float("nan"))).encode(),
        json.dumps(sent(total=float("inf"))).encode(), {k: v for k, v in sent().items() if k != "position"},
    ],
)  # fmt: skip
def test_a_wrong_answer_is_refused_and_not_kept(serving, body):
    name = enrol(serving)["id"]
    status, _, reply = ask(serving, "POST", f"/api/participants/{name}/answers", body)
    assert (status, reply != b"") == (422, True)
    assert json.loads(ask(serving, "GET", f"/api/participants/{name}")[2])["answered"] == 0


def test_second_votes_and_strangers_get_a_clear_no(serving):
    name = enrol(serving)["id"]
    path = f"/api/participants/{name}/answers"
    assert ask(serving, "POST", path, sent(0))[0] == 201
    status, _, body = ask(serving, "POST", path, sent(0))
    assert (status, body) == (409, b"Trial 1 has been answered; the first answer counts.")
    status, _, body = ask(serving, "POST", path, sent(3))
    assert (status, body) == (409, b"Trial 2 comes first.")
    status, _, body = ask(serving, "POST", path, sent(1, choices=dict.fromkeys(QUESTIONS, "tie")))
    assert (status, body) == (409, b"Please choose left or right.")
    assert ask(serving, "POST", "/api/participants/0000000000/answers", sent(0))[0] == 404
    assert ask(serving, "POST", "/api/participants/nobody/elsewhere", sent(0))[0] == 404


def test_no_one_is_enrolled_without_consent(serving):
    for body in ({}, {"consent": False}, {"consent": "yes"}, {"consent": True, "name": "me"}):
        assert ask(serving, "POST", "/api/participants", body)[0] == 422


def test_bodies_are_json_of_a_known_and_small_size(serving):
    path = "/api/participants"
    assert ask(serving, "POST", path, {"consent": True}, {"Content-Type": "text/plain"})[0] == 415
    assert ask(serving, "POST", path, {"consent": True}, {})[0] == 415
    assert ask(serving, "POST", path, b" " * (LARGEST_BODY + 1))[0] == 413
    assert ask(serving, "POST", path, b" " * 500_000)[0] == 413
    assert ask(serving, "PUT", path, {"consent": True})[0] == 405
    assert ask(serving, "OPTIONS", path)[0] == 405
    assert ask(serving, "DELETE", path)[0] == 405


POST = b"POST /api/participants HTTP/1.1\r\nHost: study\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (POST + b"Content-Length: 9999999999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1001\r\n" + b" " * 4097 + b"\r\n0\r\n\r\n", 413),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: \xb2\r\n\r\n", 400),
        (POST + b"\r\n", 422),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"SPAM / HTTP/1.1\r\nHost: study\r\n\r\n", 405),
        (b"GET /" + b"a" * 20_000, 400),
        (b"GET / HTTP/1.1\r\nHost: study\r\n" + b"a: b\r\n" * 4000, 400),
    ],
)
def test_malformed_requests_are_answered_and_harm_nobody(serving, request_bytes, status, caplog):
    with socket.create_connection(serving.address, timeout=10) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())
    enrol(serving)
    assert not caplog.text


def test_an_answer_that_does_not_arrive_is_not_waited_for(serving, caplog, monkeypatch):
    monkeypatch.setattr("gsd.tools.study.server.BODY_SECONDS", 0.1)
    with socket.create_connection(serving.address, timeout=10) as connection:
        connection.sendall(POST + b"Content-Length: 20\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    enrol(serving)
    assert not caplog.text


def test_a_rater_who_goes_away_in_the_middle_harms_nobody(serving, caplog):
    for part in (b"", b"GET", POST + b"Content-Length: 20\r\n\r\n{"):
        with socket.create_connection(serving.address, timeout=10) as connection:
            connection.sendall(part)
    enrol(serving)
    assert not caplog.text


def test_a_fault_inside_is_told_to_both_and_harms_nobody_else(serving, caplog, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(serving.votes, "enrol", lambda now: 1 / 0)
        status, _, body = ask(serving, "POST", "/api/participants", {"consent": True})
    assert (status, body) == (500, b"Internal Server Error")
    enrol(serving)
    assert "ZeroDivisionError" in caplog.text
