"""A run in the browser while it goes on: the scene, the step's cameras and pictures, curves, pause and single step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from jaxtyping import Float, UInt8

from gsd.browser.curves import Curves
from gsd.browser.server import Flag, address, require_viser, serving
from gsd.browser.splats import SOLID, Drawing
from gsd.browser.stage import Stage
from gsd.browser.tiles import BLANK, labelled
from gsd.geometry import unproject
from gsd.ranges import Fraction, Pixels
from gsd.types import Context, Geometry, Shown, TrackedRun
from gsd.watching import Display, Viewer

BEFORE, FADED = 0.97, 0.15  # painted noise: where, as a fraction of the depth; opacity of the scene below it
FAREWELL_S = 0.3  # until a last message has left for a browser


class Viser(Viewer):
    """A page at http://host:port, for as long as the run goes on.

    host: 127.0.0.1 is reached from this machine alone. port: None for the first free one from 8080 on. cost: greatest
    share of the run's time that drawing may take. paused: whether the run waits after its first step. pixels: width of
    the pictures by which a radiance field is drawn. hosts: other names by which browsers may know this machine.
    """

    def __init__(
        self,
        context: Context,
        host: str = "127.0.0.1",
        port: Annotated[int, Interval(ge=1, le=65535)] | None = None,
        cost: Fraction = 0.04,
        paused: bool = False,
        pixels: Pixels = 64,
        hosts: tuple[str, ...] = (),
    ) -> None:
        require_viser("viewer=viser")
        self.device = context.device
        self.host, self.port, self.cost = host, port, cost
        self.paused, self.pixels, self.hosts = paused, pixels, hosts

    @contextmanager
    def __call__(self, run: TrackedRun) -> Iterator[Page]:
        with serving(self.host, self.port, run.config["prompt"], self.hosts) as server:
            page = Page(server, run, Drawing(self.pixels, self.device), self.paused)
            print(f"Live at {address(server)}", flush=True)
            yield page


class Page(Display):
    """The 3D window and the panel. What is clicked sets a flag; all drawing is done by the run's own thread."""

    def __init__(self, server: Any, run: TrackedRun, drawing: Drawing, paused: bool) -> None:
        self.server, self.run, self.drawing = server, run, drawing
        self.stage = Stage(server, _reach(run.config["config"]))
        self.paused = paused
        self._changed, self._advanced = Flag(), Flag()
        self._make_panel(server.gui)
        server.on_client_connect(lambda _: self._changed.set())

    @property
    def watched(self) -> bool:
        return bool(self.server.get_clients())

    def changed(self) -> bool:
        return self._changed.taken()

    def advanced(self) -> bool:
        return self._advanced.taken()

    def _make_panel(self, gui: Any) -> None:
        with gui.add_folder("Run"):
            self.progress = gui.add_progress_bar(0.0)
            self.status = gui.add_markdown("The first step has not been taken yet.")
            self.pause, self.step = gui.add_button("Pause"), gui.add_button("Single step")
            self._label_buttons()
        with gui.add_folder("Step"):
            self.view = gui.add_dropdown("View", ["0"], hint="of the step; also chosen by a click on its camera")
            self.caption, self.pictures = gui.add_markdown(""), gui.add_image(BLANK)
        with gui.add_folder("Show"):
            self.scene = gui.add_checkbox("Scene", True)
            self.cameras = gui.add_checkbox("Cameras", True)
            self.noise = gui.add_checkbox("Noise in 3D", False, hint="of the view, on the surface that it sees")
            self.dark = gui.add_checkbox("Dark ground", False)
        self.curves = Curves(gui, self._changed)
        self.pause.on_click(lambda _: self._toggle())
        self.step.on_click(lambda _: self._advanced.set())
        for choice in (self.view, self.scene, self.cameras, self.noise, self.dark):
            choice.on_update(lambda _: self._changed.set())

    def _toggle(self) -> None:
        self.paused = not self.paused
        self._label_buttons()

    def _label_buttons(self) -> None:
        self.pause.label = "Continue" if self.paused else "Pause"
        self.step.disabled = not self.paused

    def show(self, shown: Shown) -> None:
        view = self._chosen(len(shown.state.cameras))
        with self.server.atomic():
            self._show_numbers(shown)
            self._show_pictures(shown, view)
            self._show_stage(shown, view)

    def _chosen(self, views: int) -> int:
        names = [str(view) for view in range(views)]
        if list(self.view.options) != names:
            self.view.options = names
        return min(int(self.view.value), views - 1)

    def _show_numbers(self, shown: Shown) -> None:
        steps, taken = self.run.config["steps"], shown.state.step + 1
        self.progress.value = 100.0 * taken / steps
        self.status.content = f"Step {taken} of {steps}{', paused' if self.paused else ''}"
        self.curves.add(shown.records)
        self.curves.draw()

    def _show_pictures(self, shown: Shown, view: int) -> None:
        cameras, sigma = shown.state.cameras, float(shown.state.sigma[view])
        place = f"azimuth {float(cameras.azimuth[view]):.0f}°, elevation {float(cameras.elevation[view]):.0f}°"
        self.caption.content = f"{place}, sigma {sigma:.2g}"
        self.pictures.image = labelled({name: each[view] for name, each in shown.pictures.items()})

    def _show_stage(self, shown: Shown, view: int) -> None:
        state, stage = shown.state, self.stage
        stage.ground(self.dark.value)
        if self.scene.value:
            drawn = self.drawing(shown.scene, whole=self.paused)
            if self.noise.value:
                drawn["opacities"] *= FADED
            stage.show_scene(drawn)
        else:
            stage.hide_scene()
        if self.cameras.value:
            stage.show_cameras(state.cameras, list(shown.pictures["rgb"]), view, self._pick)
        else:
            stage.hide_cameras()
        if self.noise.value:
            stage.show_points(*_painted(state.geometry, view, shown.pictures["noise"][view]))
        else:
            stage.hide_points()

    def _pick(self, view: int, event: Any) -> None:
        self.view.value = str(view)

    def finish(self) -> None:
        self.pause.disabled = self.step.disabled = True
        for client in self.server.get_clients().values():
            client.add_notification("The run is done", f"gsd view {self.run.folder} opens it again.")
            client.flush()
            time.sleep(FAREWELL_S)


def _reach(config: dict[str, Any]) -> float:
    """How far from the object a run's cameras are; of a camera that does not say so, the turntable's."""
    return float(np.max(config["camera"].get("distance", config["turntable"]["distance"])))


def _painted(
    geometry: Geometry, view: int, picture: UInt8[np.ndarray, "h w 3"]
) -> tuple[Float[np.ndarray, "N 3"], UInt8[np.ndarray, "N 3"], float]:
    """A picture as large as the latents on the surface that its view sees: points, their colours and their width.

    They stand a little before the surface, so that its Gaussians do not cover them.
    """
    cameras = geometry.cameras
    seen = (geometry.alpha[view, 0] > SOLID).cpu().numpy()
    xyz = unproject(BEFORE * geometry.depth.detach(), cameras)[view].cpu().numpy()
    return xyz[seen], picture[seen], float(cameras.distance[view] / cameras.Ks[view, 0, 0])
