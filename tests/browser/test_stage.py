"""Where a browser's camera begins."""

import itertools
import time

import numpy as np
import pytest
from onlookers import looking

from gsd.browser.server import serving
from gsd.browser.stage import LENS, Stage

pytest.importorskip("viser")
PANEL = 0.6  # how much of a narrow window viser's panel covers, from below


def test_in_a_narrow_window_the_scene_stands_above_the_panel():
    with serving("127.0.0.1", None, "a cat") as server:
        Stage(server)
        with looking(server.get_port()):  # from a window of 100 x 100 pixels
            end = time.monotonic() + 20
            while not (clients := server.get_clients()) or next(iter(clients.values())).camera.look_at[2] == 0:
                assert time.monotonic() < end
                time.sleep(0.01)
            camera = next(iter(clients.values())).camera
            eye, ahead = np.array(camera.position), np.array(camera.look_at - camera.position)
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, (0, 0, 1))
    above = np.cross(right, ahead) / np.linalg.norm(right)
    corners = np.array([*itertools.product((-0.25, 0.25), (-0.25, 0.25), (-0.5, 0.5))]) - eye
    height = corners @ above / (corners @ ahead) / np.tan(np.deg2rad(LENS) / 2)  # 1: upper edge of the window
    assert height.max() < 1
    assert height.min() > 2 * PANEL - 1
