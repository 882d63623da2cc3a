"""What stands in the browser's 3D window: the scene, cameras and points, in the world's own axes (z up, front +x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from gsd.browser.splats import Drawn
from gsd.types import Cameras

FROM, LENS = (0.912, 0.318, 0.259), 45.0  # direction of a browser's camera at first, and its field of view in degrees
WIDE = 1.5  # width per height of a window in which all cameras can be seen
NARROW, LOWER = 576, 0.24  # pixels of a telephone's window; how much lower its camera is, as a part of its distance
LIGHT, DARK = 235, 38  # grey of the ground
PLAIN, CHOSEN = (120, 120, 120), (230, 90, 20)  # colours of cameras
FRUSTUM = 0.15  # size of a camera, world units
BEFORE_PICTURE = 0.45  # from a camera of that size to a place just before its picture


class Stage:
    """One node per thing shown; showing it again replaces it.

    reach: how far from the object the cameras are that will be shown.
    """

    def __init__(self, server: Any, reach: float) -> None:
        self.server, self.eye = server, first_eye(reach)
        server.scene.set_up_direction("+z")
        server.initial_camera.position, server.initial_camera.look_at = self.eye, (0.0, 0.0, 0.0)
        server.initial_camera.fov = float(np.deg2rad(LENS))
        server.on_client_connect(self._step_down)
        self.dark: bool | None = None
        self.frusta: list[Any] = []
        self.splats: Any = None
        self.ground(dark=False)

    def _step_down(self, client: Any) -> None:
        """Where the window is so narrow that viser's panel covers its lower half, the scene stands above the panel."""
        if client.camera.image_width < NARROW:
            down = np.array([0.0, 0.0, LOWER * np.linalg.norm(self.eye)])
            with client.atomic():
                client.camera.position, client.camera.look_at = self.eye - down, -down

    def ground(self, dark: bool) -> None:
        """Fog that a light ground hides shows over a dark one."""
        if dark != self.dark:
            self.dark, grey = dark, DARK if dark else LIGHT
            self.server.scene.set_background_image(np.full((2, 2, 3), grey, np.uint8), format="png")

    def show_scene(self, drawn: Drawn) -> None:
        if len(drawn["centers"]) == 0:  # a field that is still empty
            self.hide_scene()
        elif self.splats is None:
            self.splats = self.server.scene.add_gaussian_splats("/scene", **drawn)
        else:
            self.splats.set_gaussians(**drawn)
            self.splats.visible = True

    def hide_scene(self) -> None:
        if self.splats is not None:
            self.splats.visible = False

    def show_cameras(
        self,
        cameras: Cameras,
        pictures: list[UInt8[np.ndarray, "H W 3"]],
        chosen: int | None,
        clicked: Callable[[int, Any], None],
    ) -> None:
        """A frustum per camera, with its picture; `clicked` gets a camera's number and viser's event."""
        poses = torch.linalg.inv(cameras.viewmats.detach().double()).cpu().numpy()
        fovs = 2 * torch.atan(cameras.height / 2 / cameras.Ks[:, 1, 1]).cpu().numpy()
        while len(self.frusta) > len(cameras):
            self.frusta.pop().remove()
        for k, pose in enumerate(poses):
            if k == len(self.frusta):
                self.frusta.append(self._frustum(k, float(fovs[k]), cameras.width / cameras.height, clicked))
            frustum = self.frusta[k]
            frustum.position, frustum.wxyz = pose[:3, 3], _wxyz(pose[:3, :3])
            frustum.image, frustum.visible = pictures[k], True
            frustum.color = CHOSEN if k == chosen else PLAIN

    def _frustum(self, k: int, fov: float, aspect: float, clicked: Callable[[int, Any], None]) -> Any:
        made = self.server.scene.add_camera_frustum(
            f"/cameras/{k}", fov, aspect, scale=FRUSTUM, thickness=1.5, thickness_units="screen"
        )
        made.on_click(lambda event: clicked(k, event))
        return made

    def hide_cameras(self) -> None:
        for frustum in self.frusta:
            frustum.visible = False

    def show_points(self, xyz: Float[np.ndarray, "N 3"], rgb: UInt8[np.ndarray, "N 3"], size: float) -> None:
        """Squares that face the browser, `size` world units wide."""
        self.server.scene.add_point_cloud("/points", xyz, rgb, point_size=size / 2, point_shading="flat")

    def hide_points(self) -> None:
        self.server.scene.remove_by_name("/points")


def first_eye(reach: float) -> Float[np.ndarray, " 3"]:
    """Where a browser's camera begins: a sphere of this radius around the object is as wide as its window."""
    half_width = np.arctan(WIDE * np.tan(np.deg2rad(LENS / 2)))
    return reach / np.sin(half_width) * np.array(FROM)


def _wxyz(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 4"]:
    import viser.transforms

    return viser.transforms.SO3.from_matrix(rotation).wxyz


def look_from(cameras: Cameras, k: int, client: Any) -> None:
    """Move a browser's camera to just before the picture of camera k."""
    pose = torch.linalg.inv(cameras.viewmats[k].double()).cpu().numpy()
    with client.atomic():
        client.camera.position, client.camera.look_at = pose[:3, 3] + BEFORE_PICTURE * pose[:3, 2], np.zeros(3)
