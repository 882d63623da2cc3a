"""3DFuse's semantic code: a learned token for the prompt's object, and a LoRA, merged into the network.

The file, which `gsd semantic-code` writes, is safetensors: `embedding` [D], and for every attention's linear layer
`LAYER.down` [r, in] and `LAYER.up` [out, r]. Its metadata has the keyword whose place the token takes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Interval
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gsd.backend.temporaries import temporary
from gsd.errors import GsdError, reason

TOKEN = "<gsd-object>"  # no word of any prompt
EMBEDDING, KEYWORD = "embedding", "keyword"


class SemanticCode(BaseModel):
    """Options: the file, and the factor of the LoRA; 3DFuse merges it with 0.3."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    file: str
    strength: Annotated[float, Interval(ge=0, le=10)] = 0.3


class Code:
    """A semantic code from its file, for a prompt.

    Raises GsdError for a file that is missing or no semantic code, and for a prompt without its keyword.
    """

    def __init__(self, options: SemanticCode, prompt: str) -> None:
        self.strength, self.name = options.strength, f"prior.semantic_code.file={options.file}"
        file = Path(options.file).expanduser()
        if file.suffix != ".safetensors" or not file.is_file():
            raise GsdError(f"{self.name}: no such .safetensors file; gsd semantic-code makes one.")
        try:
            with safe_open(file, "pt") as content:
                self.keyword = (content.metadata() or {}).get(KEYWORD, "")
                self.tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118, no mapping
        except (SafetensorError, OSError) as error:
            raise GsdError(f"{self.name} cannot be read ({reason(error)}); copy it again.") from error
        if EMBEDDING not in self.tensors or not self.keyword:
            raise GsdError(f"{self.name} is no semantic code; gsd semantic-code makes one.")
        require_keyword(self.keyword, prompt, self.name)
        self.embedding = self.tensors.pop(EMBEDDING)

    def install(self, tokenizer: Any, encoder: Any, texts: list[str]) -> list[str]:
        """Teach the token to a text encoder, and return the texts with it in the keyword's place."""
        if self.embedding.shape != encoder.get_input_embeddings().weight.shape[1:]:
            raise GsdError(f"{self.name} was made for another text encoder; make one for this prior.model.")
        with torch.no_grad():
            add_token(tokenizer, encoder)[-1] = self.embedding
        return [replaced(text, self.keyword) for text in texts]

    @torch.no_grad()
    def merge(self, network: nn.Module) -> None:
        """W <- W + strength up down, for every layer of the LoRA."""
        weights = dict(network.named_parameters())
        for layer in sorted({name.rpartition(".")[0] for name in self.tensors}):
            up, down = (self.tensors.get(f"{layer}.{part}") for part in ("up", "down"))
            weight = weights.get(f"{layer}.weight")
            if up is None or down is None or weight is None or weight.shape != (up.shape[0], down.shape[1]):
                raise GsdError(f"{self.name} was made for another network; make one for this prior.model.")
            weight.copy_(weight + (self.strength * (up @ down)).to(weight))


def add_token(tokenizer: Any, encoder: Any) -> nn.Parameter:
    """Give the tokenizer and the text encoder one token more, the last row of the embeddings that are returned."""
    tokenizer.add_tokens([TOKEN])
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return encoder.get_input_embeddings().weight


def replaced(text: str, keyword: str) -> str:
    """The text with the token in the place of the keyword, wherever it stands as a word of its own."""
    return re.sub(rf"(?<!\w){re.escape(keyword)}(?!\w)", TOKEN, text, flags=re.IGNORECASE)


def require_keyword(keyword: str, prompt: str, name: str) -> None:
    if replaced(prompt, keyword) == prompt:
        raise GsdError(
            f"{name}: its keyword {keyword!r} is not in the prompt {prompt!r}; take the word that names the subject, "
            "or the code of this prompt."
        )


def save(file: Path, keyword: str, embedding: Float[Tensor, " D"], lora: dict[str, Tensor]) -> None:
    """Write a code, whole or not at all."""
    tensors = {EMBEDDING: embedding} | lora
    part = temporary(file)
    save_file({name: value.float().cpu().contiguous() for name, value in tensors.items()}, part, {KEYWORD: keyword})
    os.replace(part, file)
