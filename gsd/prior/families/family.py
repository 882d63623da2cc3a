"""What a family of pipelines has to say."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

States = dict[str, Tensor]  # what the text encoders make of B texts: tensors with one row per text
FAR = -10_000.0  # what diffusers adds to the attention's logits of a token that is not to be seen


class Family(Protocol):
    """Text, and the call of the network, for one class of pipelines of diffusers."""

    network: str  # the pipeline's component that denoises: unet | transformer
    classes: tuple[str, ...]  # of diffusers, that it may have
    encoders: tuple[str, ...] = ("text_encoder",)  # of texts, each with a tokenizer of its own
    optional_encoders: tuple[str, ...] = ()
    sample_size: int | None = None  # of latents, where the network's config has none
    patch: int | None = None  # latents to a side of a token, where the network's config does not say it

    @abstractmethod
    def encode(self, pipe: Any, texts: list[str], device: torch.device) -> States:
        """By the pipeline's own `encode_prompt`, so that texts mean what they mean in diffusers."""

    @abstractmethod
    def predict(
        self, network: Any, x: Float[Tensor, "V C h w"], t: Float[Tensor, " V"], text: States, options: dict[str, Any]
    ) -> Float[Tensor, "V C h w"]:
        """The network's own output for its own input at steps t of 1000, without a part for the variance.

        options: {resolution: pixels, embedded_guidance: scale}.
        """

    def blend(self, one: States, other: States, weight: Float[Tensor, " V"]) -> States:
        """Between two texts: embeddings are interpolated."""
        return {key: torch.lerp(one[key], other[key], _column(weight, one[key])) for key in one}


class Masked(Family, Protocol):
    """A family whose states are "text" [B, L, D] and "mask" [B, L], 1 where there is a token.

    What stands where there is none means nothing, so texts of different lengths cannot be interpolated token by token.
    In between, the network attends to the tokens of both, and their shares add to the attention's logits as logarithms.
    """

    def encode(self, pipe: Any, texts: list[str], device: torch.device) -> States:
        text, mask, _, _ = pipe.encode_prompt(texts, do_classifier_free_guidance=False, device=device)
        return {"text": text, "mask": mask.to(text)}

    def blend(self, one: States, other: States, weight: Float[Tensor, " V"]) -> States:
        share = _column(weight, one["mask"])
        both = torch.cat([one["mask"] * (1 - share), other["mask"] * share], 1)
        return {"text": torch.cat([one["text"], other["text"]], 1), "mask": both}


def bias(mask: Float[Tensor, "V L"]) -> Float[Tensor, "V 1 L"]:
    """What is added to the logits of attention: log of a token's weight, as good as -infinity where it is 0."""
    return torch.where(mask > 0, mask.log(), FAR)[:, None]


def without_variance(out: Float[Tensor, "V K h w"], channels: int) -> Float[Tensor, "V C h w"]:
    """The first half of the channels, where the network predicts a variance too."""
    return out.chunk(2, dim=1)[0] if out.shape[1] == 2 * channels else out


def _column(weight: Float[Tensor, " V"], like: Tensor) -> Tensor:
    return weight.to(like).view(-1, *(1,) * (like.dim() - 1))
