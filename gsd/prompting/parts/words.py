"""What all ways of prompting share: view words at the end, and words that a view is better without."""

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
