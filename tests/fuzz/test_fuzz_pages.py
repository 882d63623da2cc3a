"""The pages of gsd view and viewer=viser among strangers: nothing of other files, no traceback, the same run."""

import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
import torch
from fuzzing import cases, gathered, report
from hostile import answered, crowd, served, spoilt, torn, wrong_bytes
from launch import LIGHT, launch, same
from onlookers import CAMERA, connected, free_port, heard, say

from gsd.tools.view.followed import Followed

viser = pytest.importorskip("viser", reason="pip install -e '.[viewer]'")
WebSocketException = pytest.importorskip("websockets.exceptions").WebSocketException
SIZE = (*LIGHT, "steps=6", "images_every=3")
NEVER = ({"type": "ShareUrlRequest"}, {"type": "ShareUrlDisconnect"}, {"type": "RunJavascriptMessage", "source": "1"})
CLICK = {
    "type": "SceneNodeClickMessage", "name": "/cameras/0", "instance_index": None, "ray_origin": [2.0, 0.0, 0.0],
    "ray_direction": [-1.0, 0.0, 0.0], "screen_pos": [0.5, 0.5], "modifier": None, "owner": "",
}  # fmt: skip
SET = [True, False, 0, 1, "0", "1", "abc", "score/gradient_rms", -5, 1e300, float("nan"), 10**18, None, "Continue"]


def misused(rng, port):
    """A page that was let in, and sends what it likes, and goes in the middle of it."""
    with suppress(OSError, EOFError, WebSocketException), connected(port) as ws:
        names = [each["uuid"] for each in heard(ws) if "uuid" in each] or ["none"]
        for _ in range(rng.choice([1, 5, 20])):
            used = {"type": "GuiUpdateMessage", "uuid": rng.choice(names), "updates": {"value": rng.choice(SET)}}
            message = spoilt(rng, rng.choice([CAMERA, CAMERA, CLICK, used, used, used, *NEVER]))
            say(ws, message) if rng.random() < 0.8 else ws.send(wrong_bytes(rng, message))
        if rng.random() < 0.5:
            torn(rng, ws)


def tried(number, rng, port):
    """The faults of one case."""
    found = answered(rng, port) if rng.random() < 0.5 else misused(rng, port)
    return [found] if found else []


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "alone", *SIZE)


@pytest.fixture
def no_tunnel(monkeypatch):
    """By which viser would show the page to everyone on the internet."""
    wanted = []
    monkeypatch.setattr(viser.ViserServer, "request_share_url", lambda self: wanted.append(1))
    yield
    assert not wanted


@contextmanager
def viewed(folder):
    """gsd view in another thread; yields its port."""
    from gsd.browser.server import serving
    from gsd.tools.view.page import Page

    end, failed = threading.Event(), []

    class Run(Followed):
        def is_newer(self):
            if end.is_set():
                raise KeyboardInterrupt
            return super().is_newer()

    def refresh(page):
        try:
            page.refresh_for_ever()
        except BaseException as error:
            failed.append(error)

    with serving("127.0.0.1", None, "a cat") as server:
        thread = threading.Thread(target=refresh, args=[Page(server, Run(folder, 0, torch.device("cpu")))])
        thread.start()
        yield server.get_port()
        end.set()
        thread.join(60)
    assert not failed
    assert not thread.is_alive()


@pytest.mark.parametrize(("count", "many"), [(30, 150), pytest.param(1000, 3000, marks=pytest.mark.slow)])
def test_a_view_among_strangers(count, many, alone, no_tunnel, capfd):
    with viewed(alone) as port:
        found = gathered(tried, "pages", count, port)
        with ExitStack() as entered:
            crowd(entered, port, many)
        assert soon(lambda: served(port))
    told = capfd.readouterr()
    assert not found, report(found)
    assert "Traceback" not in told.out + told.err
    assert told.err == ""


@pytest.mark.parametrize("steps", [6, pytest.param(300, marks=pytest.mark.slow)])
def test_a_run_that_strangers_look_at_is_the_same_run(steps, alone, no_tunnel, tmp_path, capfd):
    """They may press its buttons, as its own page may; nothing else."""
    size = (*SIZE, f"steps={steps}")
    straight = alone if steps == 6 else launch(tmp_path / "straight", *size)
    port, end = free_port(), threading.Event()

    def attack():
        for number, rng in cases("live", 10**6):
            if end.is_set():
                return
            tried(number, rng, port) if served(port) else time.sleep(0.05)
            go_on(port)

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        launch(tmp_path / "run", *size, "viewer=viser", f"viewer.port={port}", "viewer.cost=1", "viewer.paused=true")
    finally:
        end.set()
        thread.join(60)
    same(straight, tmp_path / "run")
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert "viewer has failed" not in told


def soon(true):
    """The server may have to notice first that a crowd has gone."""
    end = time.monotonic() + 60
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def go_on(port):
    """What whoever looks at a paused run does in the end."""
    with suppress(OSError, EOFError, WebSocketException), connected(port) as ws:
        say(ws, CAMERA)
        for each in heard(ws):
            if each.get("props", {}).get("label") == "Continue":
                say(ws, {"type": "GuiUpdateMessage", "uuid": each["uuid"], "updates": {"value": True}})
                heard(ws)
