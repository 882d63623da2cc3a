"""What all ways of prompting share: view words, words that a view is better without, negative prompts."""

from __future__ import annotations

import re
from typing import Literal

import torch

from gsd.errors import GsdError
from gsd.types import Condition

AwayFrom = Literal["opposite", "plain"]  # what view guidance leads away from
View = Literal["front", "side", "back", "overhead"]
Without = dict[View, tuple[str, ...]]


def of_view(prompt: str, view: str, without: Without) -> str:
    """ "PROMPT, VIEW view", less the words that contradict it.

    Prompt debiasing (Hong et al. 2023, section 4.3): "a smiling cat, back view" asks for a face at the back. Words are
    whole words or phrases, in any case; `view` may name a side ("left side").
    """
    for words in (without.get(name, ()) for name in ("front", "side", "back", "overhead") if view.endswith(name)):
        for word in words:
            prompt = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "", prompt, flags=re.IGNORECASE)
    prompt = re.sub(r"\s+", " ", re.sub(r"\s+(?=,)|,\s*(?=,|$)", "", prompt)).strip(" ,")
    if not prompt:
        raise GsdError(f"prompting.without leaves nothing of the prompt for the {view} view; take fewer words away.")
    return f"{prompt}, {view} view"


def negative_prompt(negative: str, prompt: str) -> str:
    """`negative`, with the prompt in the place of {prompt}.

    The prompt comes without view words. Where a prior gives the views of a prompt the log-weights bias + words,
    guidance of scale s away from "{prompt}" gives bias + s words, while away from "", which shares neither, it gives
    s (bias + words). Away from "{prompt}, front view", s > 1 also reduces the bias towards the front.

    Raises:
        GsdError: for any other use of braces.
    """
    if re.search("[{}]", negative.replace("{prompt}", "")):
        raise GsdError(
            f"prompting.negative={negative!r}: the only placeholder is {{prompt}}, the prompt without view words; "
            "write it as in 'prompting.negative=\"{prompt}, front view\"', or leave the braces out."
        )
    return negative.replace("{prompt}", prompt)


def led_away_from(kind: AwayFrom, prompt: str, opposite: Condition) -> Condition:
    """What view guidance leads away from: the texts of the opposite view, or the prompt without view words.

    In log-weights of the azimuth, with words w h, view guidance of scale s adds 2 s w h away from the opposite view and
    s w h away from the plain prompt. The opposite of "side view" is itself, as that of "overhead view" is, and says
    nothing there; the plain prompt does.
    """
    if kind == "opposite":
        return opposite
    views = len(opposite.texts)
    return Condition((prompt,) * views, turned=torch.zeros(views))
