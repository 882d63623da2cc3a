"""Hard words for where the camera stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval

from gsd.geometry import angle_between
from gsd.prompting.parts.words import AwayFrom, Without, led_away_from, negative_prompt, of_view
from gsd.protocols import Prompting
from gsd.types import Cameras, Condition, Context


@dataclass
class ViewDependent(Prompting):
    """The prompt with ", front/side/back/overhead view" by the camera's angles (DreamFusion, section 3.2).

    The words leave open whether an object seen from the side looks left or right. So "side view" is its own opposite,
    as "overhead view" is, and view guidance acts on front and back views alone, unless it leads away from the plain
    prompt.
    """

    context: Context
    front_deg: Annotated[float, Interval(ge=0, le=180)] = 45.0  # front: within this of azimuth 0
    back_deg: Annotated[float, Interval(ge=0, le=180)] = 45.0  # back: within this of azimuth 180
    overhead_deg: Annotated[float, Interval(ge=0, le=90)] = 60.0  # overhead: above this elevation
    negative: str = ""  # negative prompt; {prompt} in it is the prompt without view words
    without: Without | None = None  # words to remove per view, such as {back: [smiling]}
    away_from: AwayFrom = "opposite"  # what view guidance leads away from

    def __post_init__(self) -> None:
        self.negative = negative_prompt(self.negative, self.context.prompt)
        words = ("front", "side", "back", "overhead")
        self.by_word = {word: of_view(self.context.prompt, word, self.without or {}) for word in words}
        self.texts = (*self.by_word.values(), self.negative)
        if self.away_from == "plain":
            self.texts += (self.context.prompt,)

    def word(self, azimuth: float, elevation: float) -> str:
        from_front = abs(float(angle_between(torch.tensor(azimuth), torch.tensor(0.0))))
        if elevation > self.overhead_deg:
            return "overhead"
        if from_front < self.front_deg:
            return "front"
        return "back" if from_front > 180 - self.back_deg else "side"

    def __call__(self, cameras: Cameras) -> Condition:
        views = list(zip(cameras.azimuth.tolist(), cameras.elevation.tolist(), strict=True))
        here, behind = (
            tuple(self.by_word[self.word(azimuth + turn, elevation)] for azimuth, elevation in views)
            for turn in (0, 180)
        )
        opposite = led_away_from(self.away_from, self.context.prompt, Condition(behind))
        return Condition(here, cameras, negatives=(self.negative,) * len(here), opposite=opposite)
