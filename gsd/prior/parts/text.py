"""What a checkpoint's text encoder makes of prompts, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend.cache import cache_folder, read, write
from gsd.backend.checkpoint import loading
from gsd.backend.digests import digests
from gsd.prior.parts.semantic_code import Code


class Embeddings:
    """Text -> the text encoder's last hidden states, float32.

    They are cached by (checkpoint, text) in `gsd.backend.cache.cache_folder()`. The encoder is loaded when a text is
    new and freed at once: it is as large as the UNet's half and is idle for the rest of the run. With a semantic code,
    its token stands for the keyword of every text.
    """

    def __init__(
        self, checkpoint: Path, variant: str | None, device: torch.device | str, code: Code | None = None
    ) -> None:
        self.checkpoint, self.variant, self.device, self.code = checkpoint, variant, device, code
        self.fingerprint = _fingerprint(checkpoint, variant)
        if code is not None:
            self.fingerprint += f" {code.keyword} {code.embedding.tolist()}"
        self.known: dict[str, Float[Tensor, "L D"]] = {}

    def __call__(self, texts: tuple[str, ...]) -> Float[Tensor, "V L D"]:
        self.prepare(texts)
        return torch.stack([self.known[text] for text in texts])

    def prepare(self, texts: Iterable[str]) -> None:
        """Make the embeddings of many texts at once, so that the encoder is loaded once, or not at all."""
        new = []
        for text in dict.fromkeys(texts):
            if text in self.known:
                continue
            cached = _unpack(read(self._file(text)))
            if cached is None:
                new.append(text)
            else:
                self.known[text] = cached.to(self.device)
        if new:
            for text, embedding in zip(new, self._encode(new), strict=True):
                self.known[text] = embedding
                write(self._file(text), _pack(embedding))

    def _file(self, text: str) -> Path:
        key = hashlib.blake2b(f"{self.fingerprint}\0{text}".encode(), digest_size=16).hexdigest()
        return cache_folder() / "embeddings" / f"{key}.bin"

    @torch.no_grad()
    def _encode(self, texts: list[str]) -> Float[Tensor, "N L D"]:
        tokenizer, encoder = self.load()
        if self.code is not None:
            texts = self.code.install(tokenizer, encoder, texts)
        return encoder(**tokens_of(tokenizer, encoder, texts, self.device))[0]

    def load(self) -> tuple[Any, Any]:
        """The tokenizer, and the encoder, frozen, in float32, whatever the precision of the rest: it runs once."""
        from transformers import CLIPTextModel, CLIPTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        with loading(self.checkpoint / "tokenizer"):
            tokenizer = CLIPTokenizer.from_pretrained(self.checkpoint / "tokenizer", local_files_only=True)
        with loading(self.checkpoint / "text_encoder"):
            encoder: Any = CLIPTextModel.from_pretrained(
                self.checkpoint / "text_encoder",
                dtype=torch.float32,
                variant=self.variant,
                use_safetensors=True,
                local_files_only=True,
            )
        return tokenizer, encoder.to(self.device).eval().requires_grad_(False)


def tokens_of(tokenizer: Any, encoder: Any, texts: list[str], device: torch.device | str) -> dict[str, Any]:
    """What a text encoder is called with; one warning where texts are longer than it reads."""
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    _warn_of_cuts(tokenizer, texts, length)
    tokens = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").to(device)
    mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", None) else None
    return {"input_ids": tokens.input_ids, "attention_mask": mask}


def _warn_of_cuts(tokenizer: Any, texts: list[str], length: int) -> None:
    """One warning naming the words that do not fit."""
    cut = {}
    for text in texts:
        tokens = tokenizer(text, verbose=False).input_ids[1:-1]  # less the tokens for start and end
        if len(tokens) > length - 2:
            cut[text] = tokenizer.decode(tokens[length - 2 :])
    if cut:
        words = "; ".join(f'"{rest}"' for rest in dict.fromkeys(cut.values()))
        logging.getLogger("gsd").warning(
            "gsd: the prompt is longer than the %d tokens the text encoder reads; it does not see %s. "
            "Shorten the prompt, view words stand at its end.",
            length - 2,
            words,
        )


def _fingerprint(checkpoint: Path, variant: str | None) -> str:
    """Of all that decides on an embedding."""
    parts = {part: digests(checkpoint / part) for part in ("tokenizer", "text_encoder")}
    return hashlib.blake2b(f"{variant} {parts}".encode(), digest_size=16).hexdigest()


def _pack(embedding: Float[Tensor, "L D"]) -> bytes:
    array = embedding.cpu().contiguous().numpy()
    return np.array(array.shape, np.int64).tobytes() + array.tobytes()


def _unpack(payload: bytes | None) -> Float[Tensor, "L D"] | None:
    if payload is None:
        return None
    shape = tuple(np.frombuffer(payload[:16], np.int64))
    return torch.frombuffer(bytearray(payload[16:]), dtype=torch.float32).reshape(shape)
