"""Several scenes in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from gsd.protocols import Representation
from gsd.types import Cameras, Render, Scene


class Particles(Representation):
    """K scenes that take turns, one step each: the particles of ProlificDreamer (Wang et al. 2023, algorithm 1).

    They differ in their start and in the cameras they get. They share the guidance, so that with vsd one LoRA learns
    them all. render, scene and step apply to the scene whose turn it is.
    """

    def __init__(self, scenes: Sequence[Representation]) -> None:
        self.scenes, self.turn = tuple(scenes), 0

    def render(self, cameras: Cameras) -> Render:
        return self.scenes[self.turn].render(cameras)

    def scene(self) -> Scene:
        return self.scenes[self.turn].scene()

    def shape_parameters(self) -> Sequence[Tensor]:
        return self.scenes[self.turn].shape_parameters()

    def step(self) -> None:
        self.scenes[self.turn].step()
        self.turn = (self.turn + 1) % len(self.scenes)

    def finish(self, seen: Sequence[Cameras]) -> None:
        for scene in self.scenes:
            scene.finish(seen)

    def vitals(self) -> dict[str, Tensor]:
        return self.scenes[self.turn - 1].vitals()  # of the one that has just had its turn

    def state(self) -> dict[str, Any]:
        return {"turn": self.turn, "scenes": [scene.state() for scene in self.scenes]}

    def restore(self, state: dict[str, Any]) -> None:
        self.turn = state["turn"]
        for scene, saved in zip(self.scenes, state["scenes"], strict=True):
            scene.restore(saved)
