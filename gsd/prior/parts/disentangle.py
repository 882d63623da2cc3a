"""ConsDreamer's view disentanglement: the keyword of a prompt loses what it says of views and gets the camera's."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Interval
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gsd.backend.checkpoint import loading
from gsd.errors import GsdError
from gsd.geometry import angle_between
from gsd.prior.parts.text import Embeddings

WORDS = re.compile(r"\b(back|(?:left |right )?side) view\b")


class Disentangle(BaseModel):
    """Options: the word of the prompt that names its subject, and the strength w of what is added to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    keyword: str = Field(min_length=1)
    weight: Annotated[float, Interval(ge=0, le=100)] = 1.0


class Disentangled:
    """Changes the embedding V of the keyword in texts with "side view" or "back view" (Zhou et al. 2025, 2504.02316):

        delta_u = U_u - proj_U(U_u)                                 for u = front, side, back
        V <- V - sum_u proj_delta_u(V) + w strength delta_view      with proj_b(a) = <a, b> / <b, b> b

    U is the keyword's embedding alone, U_u that in "u view of KEYWORD". With |a| the azimuth from the front, the
    strength is |a| / 90 for "side view" in the front half, 2 - |a| / 90 in the back half, and 2 (|a| / 90 - 1) for
    "back view". All tokens of the keyword get the deltas of its first. "left side view" has a delta of its own.

    Differences from the authors' code: it projects on one delta after the other and changes the same tensor again in
    later steps, at random (in 0.7 of the first 5000). Their loss on the similarity of views is not here.
    """

    def __init__(self, options: Disentangle, embeddings: Embeddings, prompt: str) -> None:
        if not re.search(rf"(?<!\w){re.escape(options.keyword)}(?!\w)", prompt, re.IGNORECASE):
            raise GsdError(
                f"prior.disentangle.keyword={options.keyword} is not in the prompt {prompt!r}; give the word that "
                "names the subject."
            )
        self.keyword, self.weight, self.embeddings = options.keyword, options.weight, embeddings
        self.tokenizer = _tokenizer(embeddings.checkpoint)
        self.rows, self.delta = cache(self._find_rows), cache(self._make_delta)  # of few texts, asked for in every step
        self.texts = (self.keyword, *map(self._seen_from, ("front", "side", "left side", "right side", "back")))

    def __call__(
        self, values: Float[Tensor, "V L D"], texts: tuple[str, ...], azimuth: Float[Tensor, " V"]
    ) -> Float[Tensor, "V L D"]:
        """The embeddings of these texts, changed; azimuth: of the views that they speak of, degrees, on the CPU."""
        from_front = angle_between(azimuth, torch.zeros_like(azimuth)).abs().tolist()
        return torch.stack([self._change(*each) for each in zip(values, texts, from_front, strict=True)])

    def _change(self, value: Float[Tensor, "L D"], text: str, from_front: float) -> Float[Tensor, "L D"]:
        word, rows = WORDS.search(text), self.rows(text)
        if word is None or not rows:
            return value
        view, turned = word[1], from_front / 90
        side = view if "side" in view else "side"
        deltas = {name: self.delta(name) for name in ("front", side, "back")}
        strength = 2 * max(turned - 1, 0.0) if view == "back" else min(turned, 2 - turned)
        subject = value[rows]
        removed = sum(_projection(subject, delta) for delta in deltas.values())
        changed = value.clone()
        changed[rows] = subject - removed + self.weight * strength * deltas[view]
        return changed

    def _make_delta(self, view: str) -> Float[Tensor, " D"]:
        alone, seen = (self._first(text) for text in (self.keyword, self._seen_from(view)))
        return seen - _projection(seen, alone)

    def _first(self, text: str) -> Float[Tensor, " D"]:
        return self.embeddings((text,))[0, self.rows(text)[0]]

    def _seen_from(self, view: str) -> str:
        return f"{view} view of {self.keyword}"

    def _find_rows(self, text: str) -> list[int]:
        """The tokens of the keyword in a text."""
        tokens, sought = (self.tokenizer(each, verbose=False).input_ids for each in (text, self.keyword))
        sought = sought[1:-1]  # less the tokens for start and end
        starts = [k for k in range(len(tokens)) if tokens[k : k + len(sought)] == sought]
        return [k + step for k in starts for step in range(len(sought)) if k + step < self.tokenizer.model_max_length]


def _projection(a: Float[Tensor, "*n D"], b: Float[Tensor, " D"]) -> Float[Tensor, "*n D"]:
    return (a @ b)[..., None] / (b @ b) * b


def _tokenizer(checkpoint: Path) -> Any:
    from transformers import CLIPTokenizer

    with loading(checkpoint / "tokenizer"):
        return CLIPTokenizer.from_pretrained(checkpoint / "tokenizer", local_files_only=True)
