"""FLUX.1 (Black Forest Labs 2024): rectified flow over patches of 2 x 2 latents, distilled from guidance (dev)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from gsd.prior.families.family import Family, States


class Flux(Family):
    """`embedded_guidance` is the scale of classifier-free guidance that the distilled network is asked to imitate."""

    network = "transformer"
    classes = ("FluxTransformer2DModel",)
    encoders = ("text_encoder", "text_encoder_2")
    sample_size = 128
    patch = 2  # the pipeline cuts them out

    def encode(self, pipe: Any, texts: list[str], device: torch.device) -> States:
        text, pooled, _ = pipe.encode_prompt(texts, None, device=device)
        return {"text": text, "pooled": pooled}

    def predict(
        self, network: Any, x: Float[Tensor, "V C h w"], t: Float[Tensor, " V"], text: States, options: dict[str, Any]
    ) -> Float[Tensor, "V C h w"]:
        patches = pixel_unshuffle(x, 2)
        rows, columns = patches.shape[-2:]
        axes = (torch.arange(size, device=x.device) for size in (1, rows, columns))
        places = torch.cartesian_prod(*axes).to(x)
        scale = x.new_full((len(x),), options["embedded_guidance"]) if network.config.guidance_embeds else None
        out = network(
            hidden_states=patches.flatten(2).mT,
            timestep=t.to(x) / 1000,
            guidance=scale,
            pooled_projections=text["pooled"],
            encoder_hidden_states=text["text"],
            txt_ids=x.new_zeros(text["text"].shape[1], 3),
            img_ids=places,
        ).sample
        return pixel_shuffle(out.mT.unflatten(2, (rows, columns)), 2)
