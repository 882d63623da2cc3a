"""View words blended by the camera's azimuth."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from gsd.prompting.parts.words import Without, of_view
from gsd.protocols import Prompting
from gsd.types import Cameras, Condition, Context


class Interpolated(Prompting):
    """View words blended by the camera's azimuth (DreamFusion, section 3.2: "a weighted combination").

    "front view" at azimuth 0, "left side view" (the object's left) at 90, "back view" at 180, "right side view" at 270,
    and a linear blend of two in between: the words then say where the camera stands, where "side view" leaves open
    whether the object looks left or right. "overhead view" takes over from elevation `overhead_deg` to 90.
    `negative` and `without` as in ViewDependent.
    """

    def __init__(
        self,
        context: Context,
        overhead_deg: Annotated[float, Field(ge=0, lt=90)] = 60.0,
        negative: str = "",
        without: Without | None = None,
    ) -> None:
        self.overhead_deg, self.negative = overhead_deg, negative
        words = ("front", "left side", "back", "right side", "overhead")
        *self.around, self.overhead = (of_view(context.prompt, word, without or {}) for word in words)
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
