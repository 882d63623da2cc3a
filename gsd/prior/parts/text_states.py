"""What the text encoders of a pipeline make of prompts, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load, save

from gsd.backend.cache import cache_folder, read, write
from gsd.prior.families.family import States


class TextStates:
    """Texts -> `States` on a device, float32. The encoders are loaded when a text is new, and freed at once.

    fingerprint: of all files and settings that decide on the states.
    encode: from a list of texts, with the encoders that it loads itself.
    """

    def __init__(self, fingerprint: str, device: torch.device, encode: Callable[[list[str]], States]) -> None:
        self.fingerprint, self.device, self.encode = fingerprint, device, encode
        self.known: dict[str, States] = {}

    def __call__(self, texts: tuple[str, ...]) -> States:
        self.prepare(texts)
        rows = [self.known[text] for text in texts]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    def prepare(self, texts: Iterable[str]) -> None:
        """Make the states of many texts at once, so that the encoders are loaded once, or not at all."""
        wanted = [text for text in dict.fromkeys(texts) if text not in self.known]
        stored = {text: read(self._file(text)) for text in wanted}
        self.known |= {text: self._moved(load(bytes_)) for text, bytes_ in stored.items() if bytes_ is not None}
        new = [text for text in wanted if text not in self.known]
        if new:
            for text, states in zip(new, _rows(self.encode(new)), strict=True):
                self.known[text] = self._moved(states)
                write(self._file(text), save(states))

    def _moved(self, states: States) -> States:
        return {key: value.to(self.device) for key, value in states.items()}

    def _file(self, text: str) -> Path:
        key = hashlib.blake2b(f"{self.fingerprint}\0{text}".encode(), digest_size=16).hexdigest()
        return cache_folder() / "embeddings" / f"{key}.safetensors"


def _rows(states: States) -> Iterator[States]:
    """The states of each text, float32 on the CPU."""
    count = len(next(iter(states.values())))
    for row in range(count):
        yield {key: value[row].float().cpu().contiguous() for key, value in states.items()}
