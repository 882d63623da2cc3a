"""Stable Diffusion XL (Podell et al. 2023): two text encoders, and the image's size as a condition."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.prior.families.family import Family, States


class SDXL(Family):
    """The image is said to be as large as it is, and not cropped. An empty text is zeros if the pipeline says so."""

    network = "unet"
    classes = ("UNet2DConditionModel",)
    encoders = ("text_encoder", "text_encoder_2")

    def encode(self, pipe: Any, texts: list[str], device: torch.device) -> States:
        text, _, pooled, _ = pipe.encode_prompt(texts, device=device, do_classifier_free_guidance=False)
        if pipe.config.get("force_zeros_for_empty_prompt"):
            kept = torch.tensor([text != "" for text in texts], device=text.device)
            text, pooled = text * kept[:, None, None], pooled * kept[:, None]
        return {"text": text, "pooled": pooled}

    def predict(
        self, network: Any, x: Float[Tensor, "V C h w"], t: Float[Tensor, " V"], text: States, options: dict[str, Any]
    ) -> Float[Tensor, "V C h w"]:
        side = options["resolution"]
        sizes = x.new_tensor([side, side, 0, 0, side, side]).expand(len(x), -1)  # original, corner of the crop, target
        added = {"text_embeds": text["pooled"], "time_ids": sizes}
        return network(x, t, encoder_hidden_states=text["text"], added_cond_kwargs=added).sample
