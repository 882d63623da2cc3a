"""Groups of neighbouring cameras on a sphere around the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import orbit
from gsd.protocols import Camera
from gsd.random import Stream
from gsd.schedule import Schedule, at, extremes
from gsd.types import Cameras

Range = tuple[float, float]
MOST_PIXELS = 4096


@dataclass
class Orbit(Camera):
    """`groups` anchors per step, each with `views` - 1 neighbours `delta_deg` apart (paper, section 5.1: 5 degrees).

    The views of a group share elevation, field of view and distance; neighbours sit at +1, -1, +2, -2 ... times
    delta_deg from the anchor. azimuth=stratified gives each group of a step its own sector of the circle.
    """

    resolution: Schedule = 64
    groups: Schedule = 1
    views: PositiveInt = 2
    delta_deg: Annotated[float, Field(gt=0, le=180)] = 5.0
    azimuth: Literal["stratified", "random"] = "stratified"
    elevation: Range = (0.0, 30.0)
    fov: Range = (40.0, 40.0)
    distance: Range = (2.2, 2.2)

    def __post_init__(self) -> None:
        for pixels in extremes(self.resolution):
            if not 1 <= pixels <= MOST_PIXELS:
                raise GsdError(f"camera.resolution={pixels:g}: must be from 1 to {MOST_PIXELS}.")
        if extremes(self.groups)[0] < 1:
            raise GsdError(f"camera.groups={extremes(self.groups)[0]:g}: must be 1 or more.")
        for name, floor, ceiling in (("elevation", -89.0, 89.0), ("fov", 1.0, 170.0), ("distance", 0.1, 1000.0)):
            low, high = getattr(self, name)
            if not floor <= low <= high <= ceiling:
                raise GsdError(f"camera.{name}=[{low},{high}] must ascend within [{floor:g}, {ceiling:g}].")

    def __call__(self, rng: Stream) -> Cameras:
        """The cameras of a step, anchors first in each group."""
        generator, groups = rng.generator(), round(at(self.groups, rng.step))

        def uniform(span: Range) -> Tensor:
            u = torch.rand(groups, generator=generator)
            return (span[0] + u * (span[1] - span[0])).repeat_interleave(self.views)

        if self.azimuth == "stratified":
            turn = torch.rand(1, generator=generator) * 360
            sectors = (torch.arange(groups) + torch.rand(groups, generator=generator)) / groups
            anchors = turn + sectors * 360
        else:
            anchors = torch.rand(groups, generator=generator) * 360
        offsets = torch.tensor([(i + 1) // 2 * (1 if i % 2 else -1) for i in range(self.views)]) * self.delta_deg
        azimuth = (anchors[:, None] + offsets).flatten() % 360
        group = torch.arange(groups).repeat_interleave(self.views)
        elevation, distance, fov = uniform(self.elevation), uniform(self.distance), uniform(self.fov)
        pixels = round(at(self.resolution, rng.step))
        return orbit(azimuth, elevation, distance, fov, pixels, pixels, group)
