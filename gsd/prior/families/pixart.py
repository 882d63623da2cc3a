"""PixArt-Sigma (Chen et al. 2024): T5, a small transformer."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from gsd.prior.families.family import Masked, States, bias, without_variance


class PixArt(Masked):
    network = "transformer"
    classes = ("PixArtTransformer2DModel", "Transformer2DModel")  # the second is what the first was called

    def predict(
        self, network: Any, x: Float[Tensor, "V C h w"], t: Float[Tensor, " V"], text: States, options: dict[str, Any]
    ) -> Float[Tensor, "V C h w"]:
        out = network(
            x,
            encoder_hidden_states=text["text"],
            encoder_attention_mask=bias(text["mask"]),
            timestep=t,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample
        return without_variance(out, x.shape[1])
