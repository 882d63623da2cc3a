"""The prompt as it is."""

from __future__ import annotations

from gsd.protocols import Prompting
from gsd.types import Cameras, Condition, Context


class Plain(Prompting):
    """The prompt as it is, for every view. `negative` is the negative prompt."""

    def __init__(self, context: Context, negative: str = "") -> None:
        self.prompt, self.negative = context.prompt, negative
        self.texts = (self.prompt, negative)

    def __call__(self, cameras: Cameras) -> Condition:
        views = len(cameras)
        return Condition((self.prompt,) * views, cameras, negatives=(self.negative,) * views)
