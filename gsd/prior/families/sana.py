"""Sana (Xie et al. 2024): a language model for the text, latents of 1/32 of the image's size, rectified flow."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from gsd.prior.families.family import Masked, States, bias, without_variance


class Sana(Masked):
    """Texts are encoded alone, without the instruction to elaborate on them that the pipeline puts before a prompt."""

    network = "transformer"
    classes = ("SanaTransformer2DModel",)

    def predict(
        self, network: Any, x: Float[Tensor, "V C h w"], t: Float[Tensor, " V"], text: States, options: dict[str, Any]
    ) -> Float[Tensor, "V C h w"]:
        out = network(
            x,
            encoder_hidden_states=text["text"],
            encoder_attention_mask=bias(text["mask"]),
            timestep=t * network.config.timestep_scale,
        ).sample
        return without_variance(out, x.shape[1])
