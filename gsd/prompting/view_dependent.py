"""What the prior is told about each view."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from gsd.geometry import angle_between
from gsd.types import Cameras, Condition


class Plain:
    """The prompt as it is, for every view."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt

    def __call__(self, cameras: Cameras) -> Condition:
        return Condition((self.prompt,) * len(cameras), cameras)


class ViewDependent:
    """The prompt with ", front/side/back/overhead view" by the camera's angles (DreamFusion, section 3.2).

    front within `front_deg` of azimuth 0, back within `back_deg` of azimuth 180, overhead above `overhead_deg`.
    """

    def __init__(
        self,
        prompt: str,
        front_deg: Annotated[float, Field(ge=0, le=180)] = 45.0,
        back_deg: Annotated[float, Field(ge=0, le=180)] = 45.0,
        overhead_deg: Annotated[float, Field(ge=0, le=90)] = 60.0,
    ) -> None:
        self.prompt = prompt
        self.front_deg, self.back_deg, self.overhead_deg = front_deg, back_deg, overhead_deg

    def word(self, azimuth: float, elevation: float) -> str:
        from_front = abs(float(angle_between(torch.tensor(azimuth), torch.tensor(0.0))))
        if elevation > self.overhead_deg:
            return "overhead"
        if from_front < self.front_deg:
            return "front"
        return "back" if from_front > 180 - self.back_deg else "side"

    def __call__(self, cameras: Cameras) -> Condition:
        views = zip(cameras.azimuth.tolist(), cameras.elevation.tolist(), strict=True)
        return Condition(tuple(f"{self.prompt}, {self.word(az, el)} view" for az, el in views), cameras)
