"""The page of gsd view: the 3D window and the panel."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gsd.backend.regular import regular
from gsd.browser.curves import Curves
from gsd.browser.server import Flag
from gsd.browser.splats import Drawing
from gsd.browser.stage import Stage, look_from
from gsd.browser.tiles import BLANK
from gsd.errors import reason
from gsd.geometry import turntable
from gsd.tools.view.followed import Followed

CAMERAS, PICTURE = 8, 96  # of the turntable: how many are shown, and the width of their pictures
SURFACE = 96  # width of the pictures from all around by which a radiance field is drawn
POLL_S, LOOK_S = 0.05, 2.0  # between looks at what was clicked, and at the folder


class Page:
    """What is clicked raises a flag; the thread of `refresh_for_ever` draws."""

    def __init__(self, server: Any, run: Followed) -> None:
        t, gui = run.config["turntable"], server.gui
        self.server, self.run, self.stage, self.changed = server, run, Stage(server, t["distance"]), Flag()
        self.around = turntable(CAMERAS, PICTURE, t["fov"], t["distance"], t["elevation"]).to(run.device)
        with gui.add_folder("Run"):
            self.status = gui.add_markdown("")
        with gui.add_folder("Step"):
            self.which = gui.add_slider("Strip", 0, 1, 1, 0)
            self.caption, self.strip = gui.add_markdown(""), gui.add_image(BLANK)
        with gui.add_folder("Show"):
            self.scene = gui.add_checkbox("Scene", True)
            self.cameras = gui.add_checkbox("Cameras", True, hint="of the turntable; a click on one moves there")
            self.dark = gui.add_checkbox("Dark ground", False)
        self.curves = Curves(gui, self.changed)
        with gui.add_folder("Numbers", expand_by_default=False):
            self.numbers = gui.add_markdown("")
        for choice in (self.which, self.scene, self.cameras, self.dark):
            choice.on_update(lambda _: self.changed.set())
        self._load()

    def refresh_for_ever(self) -> None:
        """Until Ctrl+C."""
        looked = time.monotonic()
        with suppress(KeyboardInterrupt):
            while True:
                if time.monotonic() - looked >= LOOK_S:
                    looked = time.monotonic()
                    self._follow()
                if self.changed.taken():
                    self._draw()
                time.sleep(POLL_S)

    def _follow(self) -> None:
        if self.run.is_newer():
            self.run.reload()
            self._load()
        if records := self.run.new_records():
            self.curves.add(records)
            self._draw()

    @torch.no_grad()
    def _load(self) -> None:
        """The scene has changed, and perhaps all else."""
        run = self.run
        self.status.content = run.status
        self.numbers.content = "  \n".join(f"{name}: {value:.4g}" for name, value in run.numbers.items()) or "None yet."
        self.curves.add(run.new_records())
        self.drawn = Drawing(SURFACE, run.device)(run.scene, whole=True)
        rgb = run.scene.render(self.around).rgb.clamp(0, 1) * 255
        self.pictures = [*rgb.byte().permute(0, 2, 3, 1).cpu().numpy()]
        self.stage.show_scene(self.drawn)
        self.strips = run.strips
        if self.strips:
            newest = self.which.value >= self.which.max - 1
            self.which.max = max(1, len(self.strips) - 1)
            if newest:
                self.which.value = len(self.strips) - 1
        self._draw()

    def _draw(self) -> None:
        with self.server.atomic():
            self.stage.ground(self.dark.value)
            self.stage.show_scene(self.drawn) if self.scene.value else self.stage.hide_scene()
            if self.cameras.value:
                self.stage.show_cameras(self.around, self.pictures, None, self._look)
            else:
                self.stage.hide_cameras()
            self.curves.draw()
            if self.strips:
                self._show_strip(self.strips[min(self.which.value, len(self.strips) - 1)])

    def _show_strip(self, path: Path) -> None:
        try:
            self.strip.image = np.asarray(Image.open(regular(path)).convert("RGB"))
        except Exception as error:  # Pillow raises many kinds for a damaged file
            self.strip.image, self.caption.content = BLANK, f"{path.name} is no picture: {reason(error)}."
        else:
            self.caption.content = f"Step {int(path.stem)}: rgb, depth, noise, gradient"

    def _look(self, k: int, event: Any) -> None:
        look_from(self.around, k, event.client)
