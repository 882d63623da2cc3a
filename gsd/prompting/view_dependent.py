"""What the prior is told about each view: the prompt, and words for where the camera stands."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from gsd.geometry import angle_between
from gsd.prompting.words import Without, of_view
from gsd.types import Cameras, Condition


class Plain:
    """The prompt as it is, for every view. `negative` is the negative prompt."""

    def __init__(self, prompt: str, negative: str = "") -> None:
        self.prompt, self.negative = prompt, negative
        self.texts = (prompt, negative)

    def __call__(self, cameras: Cameras) -> Condition:
        views = len(cameras)
        return Condition((self.prompt,) * views, cameras, negatives=(self.negative,) * views)


class ViewDependent:
    """The prompt with ", front/side/back/overhead view" by the camera's angles (DreamFusion, section 3.2).

    front within `front_deg` of azimuth 0, back within `back_deg` of azimuth 180, overhead above `overhead_deg`.
    `negative` is the negative prompt; `without` takes words away where they contradict the view
    (`gsd.prompting.words.of_view`), such as {back: [smiling]}.
    """

    def __init__(
        self,
        prompt: str,
        front_deg: Annotated[float, Field(ge=0, le=180)] = 45.0,
        back_deg: Annotated[float, Field(ge=0, le=180)] = 45.0,
        overhead_deg: Annotated[float, Field(ge=0, le=90)] = 60.0,
        negative: str = "",
        without: Without | None = None,
    ) -> None:
        self.front_deg, self.back_deg, self.overhead_deg = front_deg, back_deg, overhead_deg
        self.negative = negative
        self.by_word = {word: of_view(prompt, word, without or {}) for word in ("front", "side", "back", "overhead")}
        self.texts = (*self.by_word.values(), negative)

    def word(self, azimuth: float, elevation: float) -> str:
        from_front = abs(float(angle_between(torch.tensor(azimuth), torch.tensor(0.0))))
        if elevation > self.overhead_deg:
            return "overhead"
        if from_front < self.front_deg:
            return "front"
        return "back" if from_front > 180 - self.back_deg else "side"

    def __call__(self, cameras: Cameras) -> Condition:
        views = zip(cameras.azimuth.tolist(), cameras.elevation.tolist(), strict=True)
        texts = tuple(self.by_word[self.word(azimuth, elevation)] for azimuth, elevation in views)
        return Condition(texts, cameras, negatives=(self.negative,) * len(texts))


class Interpolated:
    """View words blended by the camera's azimuth (DreamFusion, section 3.2: "a weighted combination").

    "front view" at azimuth 0, "left side view" (the object's left) at 90, "back view" at 180, "right side view" at 270,
    and a linear blend of two in between: the words then say where the camera stands, where "side view" leaves open
    whether the object looks left or right. "overhead view" takes over from elevation `overhead_deg` to 90.
    `negative` and `without` as in ViewDependent.
    """

    def __init__(
        self,
        prompt: str,
        overhead_deg: Annotated[float, Field(ge=0, lt=90)] = 60.0,
        negative: str = "",
        without: Without | None = None,
    ) -> None:
        self.overhead_deg, self.negative = overhead_deg, negative
        words = ("front", "left side", "back", "right side", "overhead")
        *self.around, self.overhead = (of_view(prompt, word, without or {}) for word in words)
        self.texts = (*self.around, self.overhead, negative)

    def __call__(self, cameras: Cameras) -> Condition:
        quarter = cameras.azimuth.cpu() % 360 / 90
        high = ((cameras.elevation.cpu() - self.overhead_deg) / (90 - self.overhead_deg)).clamp(0, 1)
        before = [int(q) % 4 for q in quarter.tolist()]
        first = tuple(self.around[k] for k in before)
        second = tuple(
            self.overhead if top > 0 else self.around[(k + 1) % 4] for k, top in zip(before, high.tolist(), strict=True)
        )
        share = torch.where(high > 0, high, quarter % 1)
        return Condition(first, cameras, second, share, negatives=(self.negative,) * len(first))
