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


class Interpolated:
    """View words blended by the camera's azimuth (DreamFusion, section 3.2: "a weighted combination").

    "front view" at azimuth 0, "left side view" (the object's left) at 90, "back view" at 180, "right side view" at 270,
    and a linear blend of two in between: the words then say where the camera stands, where "side view" leaves open
    whether the object looks left or right. "overhead view" takes over from elevation `overhead_deg` to 90.
    """

    def __init__(self, prompt: str, overhead_deg: Annotated[float, Field(ge=0, lt=90)] = 60.0) -> None:
        self.overhead_deg = overhead_deg
        self.texts = [f"{prompt}, {word} view" for word in ("front", "left side", "back", "right side")]
        self.overhead = f"{prompt}, overhead view"

    def __call__(self, cameras: Cameras) -> Condition:
        quarter = cameras.azimuth.cpu() % 360 / 90
        high = ((cameras.elevation.cpu() - self.overhead_deg) / (90 - self.overhead_deg)).clamp(0, 1)
        before = [int(q) % 4 for q in quarter.tolist()]
        first = tuple(self.texts[k] for k in before)
        second = tuple(
            self.overhead if top > 0 else self.texts[(k + 1) % 4] for k, top in zip(before, high.tolist(), strict=True)
        )
        return Condition(first, cameras, second, torch.where(high > 0, high, quarter % 1))
