"""Perp-Neg: the prompt of a view, and the prompts of the views it must not become."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval

from gsd.geometry import angle_between
from gsd.prompting.parts.words import AwayFrom, Without, led_away_from, negative_prompt, of_view
from gsd.protocols import Prompting
from gsd.types import Cameras, Condition, Context

Number = Annotated[float, Interval(ge=-1000, le=1000)]
Decay = tuple[Number, Number, Number]  # a, b, c of -(a exp(-b r) + c)


@dataclass
class PerpNeg(Prompting):
    """View words blended by the azimuth, led away from the neighbouring views (Armandpour et al. 2023).

    With r the closeness to the front (in the front half) or to the side (in the back half), in [0, 1], and
    w(r; a, b, c) = -(a exp(-b r) + c):

        |azimuth| < 90    prompt r front + (1 - r) side    against front by w(r; fs), side by w(1 - r; sf)
        otherwise         prompt r side + (1 - r) back     against side by w(r; sb), front by w(r; fsb)

    The numbers are threestudio's; the authors' own code has -2 for the front seen from behind, exponentials from -2 or
    -1 for the rest and 0 next to the negative's own view. Above elevation `overhead_deg` the prompt is "overhead view"
    and there are no prompts against it. sides=named says "left side view" or "right side view" (the object's own) for
    "side view", which leaves open how an object seen from the side is turned. How the guidance uses the weights:
    `gsd.guidance.parts.branches`. The opposite view, for view guidance, is that of the camera turned by 180 degrees:
    overhead is its own opposite, and so is a side without a name.
    """

    context: Context
    overhead_deg: Annotated[float, Interval(ge=0, le=90)] = 60.0
    fs: Decay = (4.0, 0.5, -2.426)
    sf: Decay = (4.0, 0.5, -2.426)
    sb: Decay = (1.0, 0.5, -0.606)
    fsb: Decay = (1.0, 0.5, 0.967)
    sides: Literal["alike", "named"] = "alike"
    negative: str = ""  # negative prompt; {prompt} in it is the prompt without view words
    without: Without | None = None  # words to remove per view, such as {back: [smiling]}
    away_from: AwayFrom = "opposite"  # what view guidance leads away from

    def __post_init__(self) -> None:
        prompt, without = self.context.prompt, self.without or {}
        sides = ("side", "side") if self.sides == "alike" else ("left side", "right side")
        views = tuple(of_view(prompt, word, without) for word in ("front", "back", "overhead", *sides))
        self.front, self.back, self.overhead, self.left, self.right = views
        self.negative = negative_prompt(self.negative, prompt)
        self.texts = (*views, self.negative)
        if self.away_from == "plain":
            self.texts += (prompt,)

    def __call__(self, cameras: Cameras) -> Condition:
        azimuth = cameras.azimuth.cpu()
        turned = angle_between(azimuth, torch.zeros_like(azimuth)).tolist()
        views = list(zip(turned, cameras.elevation.tolist(), strict=True))
        first, second, blend, near, far, near_weight, far_weight = zip(*(self._view(*v) for v in views), strict=True)
        behind = zip(*(self._view(angle - math.copysign(180, angle), high)[:3] for angle, high in views), strict=True)
        texts, second_texts, blends = behind
        opposite = Condition(texts, others=second_texts, blend=torch.tensor(blends))
        return Condition(
            first,
            cameras,
            second,
            torch.tensor(blend),
            negatives=(self.negative,) * len(first),
            against=(near, far),
            against_weights=torch.tensor([near_weight, far_weight]),
            opposite=led_away_from(self.away_from, self.context.prompt, opposite),
        )

    def _view(self, turned: float, elevation: float) -> tuple[str, str, float, str, str, float, float]:
        """Prompt, second prompt and its weight in the blend; two prompts to lead away from and their weights."""
        side, from_front = self.left if turned >= 0 else self.right, abs(turned)
        if elevation > self.overhead_deg:
            return self.overhead, self.overhead, 0.0, self.front, side, 0.0, 0.0
        if from_front < 90:
            r = 1 - from_front / 90
            return side, self.front, r, self.front, side, _weight(r, self.fs), _weight(1 - r, self.sf)
        r = 2 - from_front / 90
        return self.back, side, r, side, self.front, _weight(r, self.sb), _weight(r, self.fsb)


def _weight(r: float, decay: Decay) -> float:
    a, b, c = decay
    return -(a * math.exp(-b * r) + c)
