"""Hard words for where the camera stands."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from gsd.geometry import angle_between
from gsd.prompting.parts.words import Without, of_view
from gsd.protocols import Prompting
from gsd.types import Cameras, Condition, Context


class ViewDependent(Prompting):
    """The prompt with ", front/side/back/overhead view" by the camera's angles (DreamFusion, section 3.2).

    front within `front_deg` of azimuth 0, back within `back_deg` of azimuth 180, overhead above `overhead_deg`.
    `negative` is the negative prompt; `without` takes words away where they contradict the view
    (`gsd.prompting.parts.words.of_view`), such as {back: [smiling]}.
    """

    def __init__(
        self,
        context: Context,
        front_deg: Annotated[float, Field(ge=0, le=180)] = 45.0,
        back_deg: Annotated[float, Field(ge=0, le=180)] = 45.0,
        overhead_deg: Annotated[float, Field(ge=0, le=90)] = 60.0,
        negative: str = "",
        without: Without | None = None,
    ) -> None:
        self.front_deg, self.back_deg, self.overhead_deg = front_deg, back_deg, overhead_deg
        self.negative = negative
        self.by_word = {
            word: of_view(context.prompt, word, without or {}) for word in ("front", "side", "back", "overhead")
        }
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
