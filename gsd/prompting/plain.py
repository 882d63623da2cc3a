"""The prompt as it is."""

from __future__ import annotations

from gsd.types import Cameras, Condition


class Plain:
    """The prompt as it is, for every view. `negative` is the negative prompt."""

    def __init__(self, prompt: str, negative: str = "") -> None:
        self.prompt, self.negative = prompt, negative
        self.texts = (prompt, negative)

    def __call__(self, cameras: Cameras) -> Condition:
        views = len(cameras)
        return Condition((self.prompt,) * views, cameras, negatives=(self.negative,) * views)
