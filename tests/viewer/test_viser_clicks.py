"""What a click on the page of viewer=viser does, said in viser's own messages: no browser is needed."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from launch import LIGHT
from onlookers import CAMERA, connected, heard, say
from PIL import Image
from quick_config import quick

from gsd.backend.images import uint8
from gsd.browser.server import serving
from gsd.browser.splats import Drawing
from gsd.browser.stage import CHOSEN, DARK, PLAIN
from gsd.browser.stage import LIGHT as BRIGHT
from gsd.experiment import build
from gsd.loop import optimise
from gsd.runner.pictures import step_pictures
from gsd.types import Shown, TrackedRun

pytest.importorskip("viser")
from gsd.viewer.viser import Page


@pytest.fixture(scope="module")
def shown():
    experiment = build(quick(*LIGHT, "steps=2", "camera.delta_deg=40"))
    state = next(iter(optimise(experiment)))
    pictures = {name: np.stack([uint8(x) for x in each]) for name, each in step_pictures(state).items()}
    return Shown(state, experiment.representation, pictures, [])


@pytest.fixture
def page(shown):
    """On which the step is shown."""
    config = {"camera": {"distance": [2.2, 2.5]}, "turntable": {"distance": 2.2}}
    run = TrackedRun("", "", None, "run", (), {"prompt": "a cat", "steps": 2, "config": config}, Path())
    with serving("127.0.0.1", None, "a cat") as server:
        page = Page(server, run, Drawing(16, torch.device("cpu")), paused=False)
        page.show(shown)
        yield page


@pytest.fixture
def client(page):
    with connected(page.server.get_port()) as ws:
        say(ws, CAMERA)
        yield ws


def control(client, label):
    """The name that viser has given a control of the panel."""
    props = {message["uuid"]: message["props"] for message in heard(client) if "props" in message and "uuid" in message}
    return next(uuid for uuid, each in props.items() if each.get("label") == label)


def redrawn(page, shown):
    """As the run's thread does once something has been clicked."""
    end = time.monotonic() + 20
    while not page.changed():
        assert time.monotonic() < end
        time.sleep(0.01)
    page.show(shown)


def colours(page):
    return [tuple(frustum.color) for frustum in page.stage.frusta]


def is_chosen(page, shown, view):
    cameras = shown.state.cameras
    assert colours(page) == [CHOSEN if k == view else PLAIN for k in range(len(cameras))]
    assert page.caption.content.startswith(f"azimuth {float(cameras.azimuth[view]):.0f}°, elevation")


def test_a_click_on_a_camera_chooses_its_view(page, client, shown):
    is_chosen(page, shown, 0)
    name = control(client, "View")
    page.changed()  # the client has come
    click = {"type": "SceneNodeClickMessage", "name": "/cameras/1", "instance_index": None, "modifier": None}
    click |= {"ray_origin": (0.0,) * 3, "ray_direction": (1.0, 0.0, 0.0), "screen_pos": (0.5, 0.5), "owner": ""}
    say(client, click)
    redrawn(page, shown)
    is_chosen(page, shown, 1)
    said = [message["updates"] for message in heard(client) if message.get("uuid") == name]
    assert {"value": "1"} in said  # so that the list shows it too


def test_a_view_is_chosen_from_the_list(page, client, shown):
    name = control(client, "View")
    page.changed()
    say(client, {"type": "GuiUpdateMessage", "uuid": name, "updates": {"value": "1"}})
    redrawn(page, shown)
    is_chosen(page, shown, 1)


def test_a_dark_ground_and_a_light_one_again(page, client, shown):
    name = control(client, "Dark ground")
    page.changed()
    for dark, level in ((True, DARK), (False, BRIGHT)):
        say(client, {"type": "GuiUpdateMessage", "uuid": name, "updates": {"value": dark}})
        redrawn(page, shown)
        (ground,) = [m for m in heard(client) if m["type"] == "BackgroundImageMessage"]
        assert (np.asarray(Image.open(io.BytesIO(ground["rgb_data"]))) == level).all()


def test_the_first_view_is_far_enough_away_for_the_cameras_of_the_config(page):
    assert np.linalg.norm(page.server.initial_camera.position) > 1.5 * 2.5
