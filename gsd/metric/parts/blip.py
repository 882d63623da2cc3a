"""ImageReward's network, BLIP with a small head, by the classes of transformers and with the names of its own file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from gsd.backend.checkpoint import loading
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError

HEAD = 64  # channels of an attention head, in ViT-L and in BERT
VISION, TEXT, REWARD = "blip.visual_encoder.", "blip.text_encoder.", "mlp.layers."
RENAMED = (  # from BLIP's own code to transformers'
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    ("patch_embed.proj.", "embeddings.patch_embedding."),
    ("blocks.", "encoder.layers."),
    (".attn.proj.", ".self_attn.projection."),
    (".attn.", ".self_attn."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
)
MEAN, SPREAD = 0.16717362830052426, 1.0333394966054072  # of rewards, which the authors take off


class RewardNetwork(nn.Module):
    """reward = (head(h) - MEAN) / SPREAD, with h the text encoder's first token after it has looked at the picture."""

    def __init__(self, state: dict[str, Tensor], name: str) -> None:
        """state: the tensors of ImageReward.pt. Raises GsdError where it is no such file."""
        super().__init__()
        mend_torchvision()
        from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

        vision = {_renamed(key): value for key, value in _part(state, VISION).items()}
        text = {key: value for key, value in _part(state, TEXT).items() if key != "embeddings.position_ids"}
        try:
            patches, places = vision["embeddings.patch_embedding.weight"], vision["embeddings.position_embedding"]
            words, positions = (text[f"embeddings.{each}_embeddings.weight"] for each in ("word", "position"))
            looked = text["encoder.layer.0.crossattention.self.key.weight"]
            numbers = sorted({int(key.split(".")[0]) for key in _part(state, REWARD)})
            self.head = [(state[f"{REWARD}{k}.weight"], state[f"{REWARD}{k}.bias"]) for k in numbers]
        except KeyError as error:
            what = f"{name} is no ImageReward: it has no {error.args[0]}"
            raise GsdError(f"{what}; rewrite ImageReward.pt again.") from None
        if not numbers:
            raise GsdError(f"{name} is a BLIP without ImageReward's head ({REWARD}*); rewrite ImageReward.pt again.")
        side = round((places.shape[1] - 1) ** 0.5)
        self.size = side * patches.shape[-1]  # pixels
        self.vision: Any = BlipVisionModel(
            BlipVisionConfig(
                **_sizes(vision, "encoder.layers", "mlp.fc1", patches.shape[0]),
                image_size=self.size,
                patch_size=patches.shape[-1],
                layer_norm_eps=1e-6,
            )
        )
        self.text: Any = BlipTextModel(
            BlipTextConfig(
                **_sizes(text, "encoder.layer", "intermediate.dense", words.shape[1]),
                vocab_size=len(words),
                max_position_embeddings=len(positions),
                encoder_hidden_size=looked.shape[1],
                layer_norm_eps=1e-12,
            ),
            add_pooling_layer=False,
        )
        with loading(Path(name)):
            self.vision.load_state_dict(vision)
            self.text.load_state_dict(text)

    @torch.no_grad()
    def forward(self, seen: Float[Tensor, "V 3 h w"], tokens: Any) -> Float[Tensor, "V 1"]:
        """The reward of each picture for one text; tokens: as BERT's tokenizer returns them, on the same device."""
        looked = self.vision(seen).last_hidden_state
        hidden = self.text(
            input_ids=tokens["input_ids"].expand(len(seen), -1),
            attention_mask=tokens["attention_mask"].expand(len(seen), -1),
            encoder_hidden_states=looked,
            encoder_attention_mask=looked.new_ones(looked.shape[:2]),
        ).last_hidden_state[:, 0]
        for weight, bias in self.head:  # without anything between them
            hidden = linear(hidden, weight.to(hidden), bias.to(hidden))
        return (hidden - MEAN) / SPREAD


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value.float() for key, value in state.items() if key.startswith(prefix)}


def _renamed(key: str) -> str:
    key = re.sub(r"^norm\.", "post_layernorm.", key)
    for old, new in RENAMED:
        key = key.replace(old, new)
    return key


def _sizes(state: dict[str, Tensor], layers: str, wide: str, width: int) -> dict[str, Any]:
    """Of a transformer, from its tensors."""
    depth = len({key.removeprefix(f"{layers}.").split(".")[0] for key in state if key.startswith(f"{layers}.")})
    return {
        "hidden_size": width,
        "intermediate_size": state[f"{layers}.0.{wide}.weight"].shape[0],
        "num_hidden_layers": depth,
        "num_attention_heads": max(1, width // HEAD),
    }
