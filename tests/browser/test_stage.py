"""Where a browser's camera begins."""

import itertools
import time

import numpy as np
import pytest
from onlookers import looking

from gsd.browser.server import serving
from gsd.browser.stage import LENS, Stage
from gsd.camera.orbit import Orbit
from gsd.geometry import turntable
from gsd.random import Stream

pytest.importorskip("viser")
PANEL = 0.6  # how much of a narrow window viser's panel covers, from below
OBJECT = np.array([*itertools.product((-0.25, 0.25), (-0.25, 0.25), (-0.5, 0.5))])


def projected(points, camera):
    """Right and up of the middle of the window, in halves of its height."""
    eye = np.array(camera.position)
    ahead = np.array(camera.look_at) - eye
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, (0, 0, 1))
    right /= np.linalg.norm(right)
    depth = (points - eye) @ ahead
    assert depth.min() > 0
    axes = np.stack([right, np.cross(right, ahead)], axis=-1)
    return (points - eye) @ axes / depth[:, None] / np.tan(np.deg2rad(LENS) / 2)


def centres(cameras):
    return np.linalg.inv(cameras.viewmats.numpy())[:, :3, 3]


@pytest.mark.parametrize("distance", [1.5, 2.2, 3.0])
def test_all_cameras_can_be_seen_at_first_and_the_object_is_large(distance):
    """In a window of 1280 x 800 pixels: those of a run's steps, and those of gsd view."""
    camera = Orbit(groups=12, distance=(0.9 * distance, distance))
    drawn = [camera(Stream(0, "camera", step)) for step in range(20)]
    rings = [turntable(36, 16, 40.0, distance, elevation) for elevation in (0.0, 15.0, 30.0)]
    with serving("127.0.0.1", None, "a cat") as server:
        Stage(server, distance)
        begins = server.initial_camera
        seen = projected(np.concatenate([centres(cameras) for cameras in (*drawn, *rings)]), begins)
        height = np.ptp(projected(OBJECT, begins)[:, 1]) / 2
    assert np.abs(seen[:, 0]).max() < 1.6
    assert np.abs(seen[:, 1]).max() < 1
    assert height > 0.28 * 2.2 / distance


def test_in_a_narrow_window_the_scene_stands_above_the_panel():
    with serving("127.0.0.1", None, "a cat") as server:
        Stage(server, 2.2)
        with looking(server.get_port()):  # from a window of 100 x 100 pixels
            end = time.monotonic() + 20
            while not (clients := server.get_clients()) or next(iter(clients.values())).camera.look_at[2] == 0:
                assert time.monotonic() < end
                time.sleep(0.01)
            camera = next(iter(clients.values())).camera
            height = projected(OBJECT, camera)[:, 1]  # 1: upper edge of the window
    assert height.max() < 1
    assert height.min() > 2 * PANEL - 1
