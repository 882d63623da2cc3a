"""Text encoders with 8-bit weights, by the package torchao."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from gsd.backend.pipeline_folder import Pipeline
from gsd.errors import GsdError

SMALL = "CLIP"  # how the classes begin whose few million weights are left as they are


def quantized_encoders(pipeline: Pipeline) -> list[str]:
    """The large text encoders of a pipeline, T5 or Gemma, by the names of its components.

    Raises GsdError where there are none, and without torchao.
    """
    kinds = {name: kind for name, (_, kind) in pipeline.parts.items() if name.startswith("text_encoder")}
    large = sorted(name for name, kind in kinds.items() if not kind.startswith(SMALL))
    if not large:
        raise GsdError(
            f"prior.text_encoder_bits=8 is for T5 and Gemma, and this {pipeline.kind} has neither; "
            "set prior.text_encoder_bits=null."
        )
    if find_spec("torchao") is None:
        raise GsdError(
            "prior.text_encoder_bits=8 needs the package torchao, which is not installed; get it with "
            "pip install torchao, or set prior.text_encoder=cpu."
        )
    return large


def in_8_bit(names: list[str]) -> dict[str, Any]:
    """What reads these parts of a pipeline weight by weight into 8 bits, as arguments of its from_pretrained."""
    if not names:
        return {}
    from diffusers import PipelineQuantizationConfig
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return {
        "quantization_config": PipelineQuantizationConfig(
            quant_mapping={name: TorchAoConfig(Int8WeightOnlyConfig()) for name in names}
        )
    }
