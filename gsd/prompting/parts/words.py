"""What all ways of prompting share: view words, words that a view is better without, negative prompts."""

from __future__ import annotations

import re
from typing import Literal

from gsd.errors import GsdError

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
