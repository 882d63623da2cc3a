"""The page of viewer=viser: what is on it, what a click does, and that the run is the same run."""

import io
import socket
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from launch import LIGHT, launch, records, same
from onlookers import GROUND, free_port, looking, opened, picture, problems, seen, shows, until
from PIL import Image
from quick_config import quick

from gsd.browser.server import FIRST, address, serving
from gsd.browser.stage import DARK, FRUSTUM, LENS, first_eye
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.random import Stream

pytest.importorskip("viser")


@contextmanager
def running(folder, *overrides):
    """A run in another thread, at an address; the block ends with it."""
    port, failed = free_port(), []

    def run():
        try:
            launch(folder, *LIGHT, "viewer=viser", f"viewer.port={port}", *overrides)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)  # paused for ever, if the test fails
    thread.start()
    yield port
    thread.join(60)
    assert not thread.is_alive()
    assert not failed


SOLID = ("steps=8", "representation.opacity=0.9")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "alone", *LIGHT, *SOLID)


def test_a_browser_looks_on_stops_the_run_steps_leaves_and_comes_back(alone, new_tab, tmp_path):
    with running(tmp_path / "run", *SOLID, "viewer.paused=true") as port:
        tab = new_tab(width=900, height=560)
        page = opened(tab, port)
        shows(page, "Single step")
        shows(page, "Step 1 of 8, paused")
        until(page, lambda: seen(page) > 0.3)
        page.get_by_role("button", name="Single step").click()
        shows(page, "Step 2 of 8, paused")
        page.get_by_role("checkbox", name="Scene").click()
        until(page, lambda: seen(page) < 0.01)
        page.get_by_role("checkbox", name="Noise in 3D").click()
        until(page, lambda: seen(page) > 0.05)
        colourful = np.ptp(picture(page), axis=-1)
        assert (colourful > 60).mean() > 0.02  # noise has colours that the grey start has not
        assert not problems(tab)
        page.close()
        other = opened(new_tab(width=900, height=560), port)
        shows(other, "Step 2 of 8, paused")
        other.get_by_role("button", name="Continue").click()
        shows(other, "opens it again")
    same(alone, tmp_path / "run")


@pytest.mark.slow
def test_a_click_on_a_camera_shows_its_view_and_the_ground_turns_dark(new_tab, tmp_path):
    """Each camera of the step is where the first view should have it: a click in its picture's middle meets it."""
    beside = ("camera.azimuth=[220]", "camera.delta_deg=120")  # the panel, not below it
    cameras = build(quick(*LIGHT, *beside)).camera(Stream(0, "camera", 0))
    poses = np.linalg.inv(cameras.viewmats.numpy())
    with running(tmp_path / "run", *SOLID, "viewer.paused=true", *beside) as port:
        tab = new_tab(width=1280, height=800)
        page = opened(tab, port)
        shows(page, "Step 1 of 8, paused")
        until(page, lambda: seen(page) > 0.05)
        for view in (1, 0):
            middle = poses[view, :3, 3] + FRUSTUM / np.tan(np.deg2rad(20)) * poses[view, :3, 2]
            page.mouse.move(*at_pixel(middle, 1280, 800))
            page.mouse.click(*at_pixel(middle, 1280, 800), delay=150)
            shows(page, f"azimuth {float(cameras.azimuth[view]):.0f}°")
        assert np.ptp(corner(page)) == 0
        assert corner(page).max() == GROUND
        page.get_by_role("checkbox", name="Dark ground").click()
        until(page, lambda: corner(page).max() == DARK)
        assert not problems(tab)
        page.get_by_role("button", name="Continue").click()
        shows(page, "opens it again")


def at_pixel(point, width, height):
    """Where the first view has a point of the world."""
    eye = first_eye(2.2)
    ahead = -eye / np.linalg.norm(eye)
    right = np.cross(ahead, (0, 0, 1)) / np.hypot(*ahead[:2])
    x, y, depth = np.stack([right, np.cross(ahead, right), ahead]) @ (point - eye)
    scale = height / 2 / np.tan(np.deg2rad(LENS) / 2)
    return width / 2 + scale * x / depth, height / 2 + scale * y / depth


def corner(page):
    """Of the window, where nothing but the ground is."""
    picture = page.screenshot(clip={"x": 5, "y": 780, "width": 10, "height": 10})
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.mark.parametrize("representation", ["gaussians", "instant_ngp", "textured_mesh"])
def test_a_run_that_is_looked_at_keeps_its_bits(representation, tmp_path):
    size = ("steps=4", f"representation={representation}", "metric=none")
    plain = launch(tmp_path / "plain", *LIGHT[:7], *size)
    with looking(port := free_port()) as read:
        watched = launch(
            tmp_path / "watched", *LIGHT[:7], *size, "viewer=viser", f"viewer.port={port}", "viewer.cost=1"
        )
    assert records(plain) == records(watched)
    assert sum(read) > 1000


def test_a_port_that_is_taken_and_one_that_is_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(GsdError, match=f"Port {port} of 127.0.0.1 is taken; choose another"),
            serving("127.0.0.1", port, "a cat"),
        ):
            pass
    with pytest.raises(GsdError, match="Nothing can listen at 192"), serving("192.0.2.1", None, "a cat"):
        pass
    with serving("127.0.0.1", None, "a cat") as one, serving("127.0.0.1", None, "a cat") as other:
        assert FIRST <= one.get_port() < other.get_port()
        assert address(one) == f"http://127.0.0.1:{one.get_port()}"


def test_without_viser_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("gsd.browser.server.find_spec", lambda name: None)
    with pytest.raises(GsdError, match=r"viewer=viser needs viser: pip install -e '\.\[viewer\]' in a checkout\."):
        launch(tmp_path / "run", *LIGHT, "steps=2", "viewer=viser")
