"""Small networks without biases over planes of samples (Mueller et al. 2022, section 5)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CHUNK = 4096  # samples whose hidden layers are in the cache together
CHUNK_ON_CUDA = 2**22  # of which a hidden layer of 64 takes a GiB


class MLP(nn.Module):
    """`layers` hidden layers of `hidden` rectified units, no biases; weights as He et al. 2015 (uniform)."""

    def __init__(self, inputs: int, hidden: int, layers: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * layers, outputs]
        self.weights = nn.ParameterList(
            (2 * torch.rand(b, a, generator=generator) - 1) * math.sqrt((6 if b == hidden else 3) / a)
            for a, b in pairwise(sizes)
        )

    def forward(self, x: Float[Tensor, "I M"]) -> Float[Tensor, "O M"]:
        return _Chunked.apply(x, *self.weights)

    def slope(self, x: Float[Tensor, "I M"]) -> Float[Tensor, "I M"]:
        """The derivative of the first output by x, which passes gradients to the weights.

        To x it passes none, for it has none: between the kinks of the rectifiers the network is linear.
        """
        return _Slope.apply(x, *self.weights)

    def plain(self, x: Float[Tensor, "I M"]) -> Float[Tensor, "O M"]:
        """The same as separate operations, which may be differentiated twice."""
        *hidden, last = self.weights
        for weight in hidden:
            x = (weight @ x).relu()
        return last @ x


class _Chunked(torch.autograd.Function):
    """A chunk of samples at a time through all layers; hidden layers are computed anew on the way back.

    Keeping them would move some ten times as many bytes through memory as the rest of a step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        out = x.new_empty(weights[-1].shape[0], x.shape[1])
        for part, target in zip(x.split(_chunk(x), 1), out.split(_chunk(x), 1), strict=True):
            target.copy_(weights[-1] @ _hidden(part, weights)[-1])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor, ...]:
        x, *weights = ctx.saved_tensors
        g_x, g_weights = torch.empty_like(x), [torch.zeros_like(w) for w in weights]
        size = _chunk(x)
        for part, pull, target in zip(x.split(size, 1), g_out.split(size, 1), g_x.split(size, 1), strict=True):
            inputs, g = _hidden(part, weights), pull
            for i in range(len(weights) - 1, -1, -1):
                g_weights[i].addmm_(g, inputs[i].T)
                g = weights[i].T @ g
                if i > 0:
                    g = torch.ops.aten.threshold_backward(g, inputs[i], 0)
            target.copy_(g)
        return g_x, *g_weights


class _Slope(torch.autograd.Function):
    """As _Chunked, of the network's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        out = torch.empty_like(x)
        for part, target in zip(x.split(_chunk(x), 1), out.split(_chunk(x), 1), strict=True):
            target.copy_(_pulls(_hidden(part, weights), weights)[0])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        g_weights = [torch.zeros_like(w) for w in weights]
        for part, g in zip(x.split(_chunk(x), 1), g_out.split(_chunk(x), 1), strict=True):
            held, push = _hidden(part, weights), g
            for i, pull in enumerate(_pulls(held, weights)[1:]):
                g_weights[i].addmm_(pull, push.T)
                push = torch.where(held[i + 1] > 0, weights[i] @ push, 0.0)
            g_weights[-1][0] += push.sum(1)
        return None, *g_weights


def _pulls(held: list[Tensor], weights: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    """The derivatives of the first output by x, and by what is rectified in each hidden layer."""
    pulls, pull = [], weights[-1][0][:, None]
    for i in range(len(weights) - 1, 0, -1):
        pulls.append(torch.where(held[i] > 0, pull, 0.0))
        pull = weights[i - 1].T @ pulls[-1]
    return [pull, *pulls[::-1]]


def _chunk(x: Tensor) -> int:
    return CHUNK if x.device.type == "cpu" else CHUNK_ON_CUDA


def _hidden(x: Tensor, weights: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    """What goes into each layer."""
    inputs = [x]
    for weight in weights[:-1]:
        inputs.append((weight @ inputs[-1]).relu_())
    return inputs
