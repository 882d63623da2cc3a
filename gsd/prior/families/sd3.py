"""Stable Diffusion 3 and 3.5 (Esser et al. 2024): three text encoders, rectified flow."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.prior.families.family import Family, States


class SD3(Family):
    """A pipeline without T5 gets zeros in its place, as in diffusers."""

    network = "transformer"
    classes = ("SD3Transformer2DModel",)
    encoders = ("text_encoder", "text_encoder_2")
    optional_encoders = ("text_encoder_3",)

    def encode(self, pipe: Any, texts: list[str], device: torch.device) -> States:
        text, _, pooled, _ = pipe.encode_prompt(texts, None, None, device=device, do_classifier_free_guidance=False)
        return {"text": text, "pooled": pooled}

    def predict(
        self, network: Any, x: Float[Tensor, "V C h w"], t: Float[Tensor, " V"], text: States, options: dict[str, Any]
    ) -> Float[Tensor, "V C h w"]:
        return network(x, text["text"], text["pooled"], t).sample
