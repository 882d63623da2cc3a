"""Low-rank adapters (LoRA) on a network of diffusers, by peft."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]  # every attention of the network


def attach(network: Any, name: str, rank: int, key: int) -> dict[str, nn.Parameter]:
    """Put adapters on the attention, which change nothing yet, and return their parameters: float32, whatever the
    network's precision.

    key: of a `Stream`, from which their first matrices are drawn.
    """
    from peft import LoraConfig, inject_adapter_in_model

    adapter = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGETS)
    with torch.random.fork_rng(devices=[]):  # the layers are made on the CPU
        torch.manual_seed(key)
        inject_adapter_in_model(adapter, network, name)  # which also takes networks without diffusers' add_adapter
    params = {each: p for each, p in network.named_parameters() if f".{name}." in each}
    for p in params.values():
        p.data = p.data.float()
    return params


def switch(network: nn.Module, on: bool) -> None:
    """Let the adapters count; off, the network is what it was, bit for bit."""
    for layer in adapted(network):
        layer.enable_adapters(on)


def adapted(network: nn.Module) -> list[Any]:
    """The layers that carry adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [layer for layer in network.modules() if isinstance(layer, BaseTunerLayer)]
