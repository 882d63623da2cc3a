"""View words blended by the camera's azimuth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from gsd.prompting.parts.words import AwayFrom, Without, led_away_from, negative_prompt, of_view
from gsd.protocols import Prompting
from gsd.types import Cameras, Condition, Context


@dataclass
class Interpolated(Prompting):
    """View words blended by the camera's azimuth (DreamFusion, section 3.2: "a weighted combination").

    "front view" at azimuth 0, "left side view" (the object's left) at 90, "back view" at 180, "right side view" at 270,
    and a linear blend of two in between. "overhead view" takes over from elevation `overhead_deg` to 90. Naming the
    side matters: with plain "side view", three of five runs of the menagerie's cat settled on the wrong one of the two.

    The opposite view, for view guidance, is that of the camera turned by 180 degrees about the vertical axis. Seen from
    straight above that is the same camera, so "overhead view" is its own opposite and view guidance fades out towards
    it; "underneath view", which no photograph's caption has, would be a word that priors do not know.
    """

    context: Context
    overhead_deg: Annotated[float, Interval(ge=0, lt=90)] = 60.0
    negative: str = ""  # negative prompt; {prompt} in it is the prompt without view words
    without: Without | None = None  # words to remove per view, such as {back: [smiling]}
    away_from: AwayFrom = "opposite"  # what view guidance leads away from

    def __post_init__(self) -> None:
        self.negative = negative_prompt(self.negative, self.context.prompt)
        words = ("front", "left side", "back", "right side", "overhead")
        *self.around, self.overhead = (of_view(self.context.prompt, word, self.without or {}) for word in words)
        self.texts = (*self.around, self.overhead, self.negative)
        if self.away_from == "plain":
            self.texts += (self.context.prompt,)

    def __call__(self, cameras: Cameras) -> Condition:
        azimuth, elevation = cameras.azimuth.cpu(), cameras.elevation.cpu()
        negatives, behind = (self.negative,) * len(cameras), self._view(azimuth + 180, elevation)
        opposite = led_away_from(self.away_from, self.context.prompt, behind)
        return replace(self._view(azimuth, elevation), cameras=cameras, negatives=negatives, opposite=opposite)

    def _view(self, azimuth: Float[Tensor, " V"], elevation: Float[Tensor, " V"]) -> Condition:
        quarter = azimuth % 360 / 90
        high = ((elevation - self.overhead_deg) / (90 - self.overhead_deg)).clamp(0, 1)
        before = [int(q) % 4 for q in quarter.tolist()]
        first = tuple(self.around[k] for k in before)
        second = tuple(
            self.overhead if top > 0 else self.around[(k + 1) % 4] for k, top in zip(before, high.tolist(), strict=True)
        )
        blend = torch.where(high > 0, high, quarter % 1)
        return Condition(first, others=second, blend=blend)
