"""Groups of neighbouring cameras on a sphere around the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval, Len
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import orbit
from gsd.protocols import Camera
from gsd.random import Stream
from gsd.ranges import Degrees, Distance, Few, Fov, Yaw
from gsd.schedule import Schedule, Within, at, extremes
from gsd.types import Cameras


@dataclass
class Orbit(Camera):
    """`groups` anchors per step, each with `views` - 1 neighbours `delta_deg` apart (paper, section 5.1: 5 degrees).

    The views of a group share elevation, field of view and distance; neighbours sit at +1, -1, +2, -2 ... times
    delta_deg from the anchor. azimuth=stratified gives each group of a step its own sector of the circle; of a list
    (degrees) each group of a step has another member, which makes the views of a run a fixed set.
    """

    resolution: Annotated[Schedule, Within(1, 4096)] = 64
    groups: Annotated[Schedule, Within(1, 1024)] = 1
    views: Few = 2
    delta_deg: Annotated[float, Interval(gt=0, le=180)] = 5.0
    azimuth: Literal["stratified", "random"] | Annotated[tuple[Yaw, ...], Len(1, 1024)] = "stratified"
    elevation: tuple[Degrees, Degrees] = (0.0, 30.0)
    fov: tuple[Fov, Fov] = (40.0, 40.0)
    distance: tuple[Distance, Distance] = (2.2, 2.2)

    def __post_init__(self) -> None:
        for name in ("elevation", "fov", "distance"):
            low, high = getattr(self, name)
            if low > high:
                raise GsdError(f"camera.{name}=[{low},{high}]: must ascend.")
        most = round(extremes(self.groups)[1])
        if isinstance(self.azimuth, tuple) and most > len(self.azimuth):
            raise GsdError(
                f"camera.groups={most} is more than the {len(self.azimuth)} azimuths in camera.azimuth; list more of "
                "them, or take fewer groups."
            )

    def __call__(self, rng: Stream) -> Cameras:
        """The cameras of a step, anchors first in each group."""
        generator, groups = rng.generator(), round(at(self.groups, rng.step))

        def uniform(span: tuple[float, float]) -> Tensor:
            u = torch.rand(groups, generator=generator)
            return (span[0] + u * (span[1] - span[0])).repeat_interleave(self.views)

        if isinstance(self.azimuth, tuple):
            anchors = torch.tensor(self.azimuth)[torch.randperm(len(self.azimuth), generator=generator)[:groups]]
        elif self.azimuth == "stratified":
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
