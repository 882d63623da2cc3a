"""The prompt as it is."""

from __future__ import annotations

from dataclasses import dataclass

from gsd.prompting.parts.words import negative_prompt
from gsd.protocols import Prompting
from gsd.types import Cameras, Condition, Context


@dataclass
class Plain(Prompting):
    """The prompt as it is, for every view. `negative` is the negative prompt; {prompt} in it is the prompt."""

    context: Context
    negative: str = ""

    def __post_init__(self) -> None:
        self.negative = negative_prompt(self.negative, self.context.prompt)
        self.texts = (self.context.prompt, self.negative)

    def __call__(self, cameras: Cameras) -> Condition:
        views = len(cameras)
        return Condition((self.context.prompt,) * views, cameras, negatives=(self.negative,) * views)
