"""Viewers for tests, +viewer._target_=onlookers.Scripted, and who looks at viser's page, with a browser or without."""

import io
import socket
import threading
from contextlib import contextmanager, suppress

import numpy as np
from PIL import Image

from gsd.watching import Display, Viewer

GROUND, MIDDLE = 235, {"x": 350, "y": 180, "width": 200, "height": 200}  # of a window of 900 x 560 pixels


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Scripted(Viewer, Display):
    """Keeps the numbers of the steps that it is shown; a test sets what it does then, and when polled in a pause."""

    cost, watched, paused = 1.0, True, False
    on_show = on_poll = staticmethod(lambda display: None)
    steps = []  # noqa: RUF012
    finished = 0

    @contextmanager
    def __call__(self, run):
        type(self).steps = []
        yield self

    def changed(self):
        self.on_poll(self)
        return False

    def advanced(self):
        return self.asked.pop() if self.asked else False

    def show(self, shown):
        self.shown = shown
        self.steps.append(shown.state.step)
        self.on_show(self)

    def finish(self):
        type(self).finished += 1

    def __init__(self):
        self.asked = []  # True for each step that a paused run should take


CAMERA = {  # what a page says first
    "type": "ViewerCameraMessage", "wxyz": [1.0, 0.0, 0.0, 0.0], "position": [2.0, 0.0, 0.0], "fov": 0.7, "near": 0.1,
    "far": 10.0, "image_height": 100, "image_width": 100, "look_at": [0.0, 0.0, 0.0], "up_direction": [0.0, 0.0, 1.0],
}  # fmt: skip


def connected(port):
    """A client of viser, that has said nothing yet."""
    import viser
    from websockets.sync.client import connect

    own = f"127.0.0.1:{port}"
    return connect(f"ws://{own}", origin=f"http://{own}", subprotocols=[f"viser-v{viser.__version__}"], max_size=None)


def say(ws, message):
    import msgspec

    ws.send(msgspec.msgpack.encode(message))


def heard(ws, seconds=0.3):
    """The messages that a client is sent, until nothing more comes for a moment."""
    import msgspec
    import zstandard

    messages = []
    with suppress(TimeoutError):
        while True:
            read = ws.recv(seconds)
            inner = zstandard.ZstdDecompressor().decompress(read[16 : 16 + int.from_bytes(read[8:16], "little")])
            messages += msgspec.msgpack.decode(inner)["messages"]
    return messages


@contextmanager
def looking(port):
    """A client of viser: it says where its camera is, and then reads; yields the sizes of what it has read."""
    read = []
    end = threading.Event()

    def listen():
        while not end.is_set():
            try:
                with connected(port) as ws:
                    say(ws, CAMERA)
                    for message in ws:
                        read.append(len(message))
            except OSError:  # the run has not begun, or is over
                end.wait(0.05)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield read
    end.set()
    thread.join(5)


def opened(tab, port):
    """The page of a viewer, once it listens."""
    while not reached(port):
        tab.page.wait_for_timeout(100)
    tab.page.goto(f"http://127.0.0.1:{port}")
    return tab.page


def reached(port):
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True


def shows(page, text):
    page.get_by_text(text).first.wait_for()


def picture(page):
    """The middle of the window, beside the panel."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=MIDDLE))).convert("RGB"), float)


def seen(page):
    """Part of the middle of the window that is not the ground."""
    return (np.abs(picture(page) - GROUND).max(-1) > 25).mean()


def until(page, condition):
    for _ in range(100):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("never true")


def problems(tab):
    """Less what viser says of this machine, and of its own splats."""
    known = ("Software WebGL", "computeBoundingSphere")
    return [problem for problem in tab.problems if not any(words in problem for words in known)]
