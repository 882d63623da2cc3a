"""Small networks without biases over planes of samples (Mueller et al. 2022, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gsd.backend import triton as backend
from gsd.backend.triton import launch, on_triton, start

CHUNK = 4096  # samples whose hidden layers are in the cache together
CHUNK_ON_CUDA = 2**22  # of which a hidden layer of 64 takes a GiB
WIDTH = 8  # programs take BLOCK / WIDTH samples, whose layers fit into the fast memory of any GPU
PROGRAMS = 1024  # that share the samples where gradients of weights are summed
WIDEST = {2: 64, 3: 32}  # inputs and units of a layer that the Triton kernels take, by the number of matrices


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
        return (_Fused if _fuses(x, *self.weights) else _Chunked).apply(x, *self.weights)

    def slope(self, x: Float[Tensor, "I M"]) -> Float[Tensor, "I M"]:
        """The derivative of the first output by x, which passes gradients to the weights.

        To x it passes none, for it has none: between the kinks of the rectifiers the network is linear.
        """
        return (_FusedSlope if _fuses(x, *self.weights) else _Slope).apply(x, *self.weights)

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


class _Fused(torch.autograd.Function):
    """All layers by one Triton kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        from gsd.field import mlp_triton

        x, *held = _kept(ctx, x, weights)
        out = x.new_empty(weights[-1].shape[0], x.shape[1])
        launch(mlp_triton.forward, x.shape[1], x, *held, out, x.shape[1], width=WIDTH, **ctx.sizes)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor, ...]:
        from gsd.field import mlp_triton

        x, *held = ctx.saved_tensors
        g_x, programs = torch.empty_like(x), _programs(x)
        sums = x.new_empty(programs, ctx.total)
        given = (x, *held, g_out.contiguous(), g_x, sums, x.shape[1])
        start(mlp_triton.backward, programs, *given, **ctx.sizes, B=backend.BLOCK // WIDTH)
        return g_x, *_parted(sums.sum(0), ctx.shapes)


class _FusedSlope(torch.autograd.Function):
    """As _Fused, of the network's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        from gsd.field import mlp_triton

        x, *held = _kept(ctx, x, weights)
        out = torch.empty_like(x)
        launch(mlp_triton.slope, x.shape[1], x, *held, out, x.shape[1], width=WIDTH, **ctx.sizes)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
        from gsd.field import mlp_triton

        x, *held = ctx.saved_tensors
        programs = _programs(x)
        sums = x.new_empty(programs, ctx.total)
        given = (x, *held, g_out.contiguous(), sums, x.shape[1])
        start(mlp_triton.slope_backward, programs, *given, **ctx.sizes, B=backend.BLOCK // WIDTH)
        return None, *_parted(sums.sum(0), ctx.shapes)


def _fuses(x: Tensor, *weights: Tensor) -> bool:
    """Whether the Triton kernels take a network: on CUDA, of one or two hidden layers that are small enough."""
    widest = max(weights[0].shape[1], len(weights[0]))
    return on_triton(x) and widest <= WIDEST.get(len(weights), 0) and len(weights[-1]) <= 16


def _kept(ctx: Any, x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The input and the three matrices that the kernels read, kept for the way back with the sizes.

    Without a second hidden layer the second matrix is not read, and the first one stands in its place.
    """
    first, *middle, last = (w.detach().contiguous() for w in weights)
    held = (x.detach().contiguous(), first, *(middle or [first]), last)
    ctx.save_for_backward(*held)
    ctx.shapes, ctx.sizes, ctx.total = [w.shape for w in weights], _sizes(weights), sum(w.numel() for w in weights)
    return held


def _sizes(weights: Sequence[Tensor]) -> dict[str, int]:
    """The kernels' constants: matrix units take powers of two from 16 on."""
    (hidden, inputs), outputs = weights[0].shape, len(weights[-1])
    padded = (max(16, 1 << (size - 1).bit_length()) for size in (inputs, hidden, outputs))
    sizes = {"IN": inputs, "H": hidden, "OUT": outputs} | dict(zip(("IP", "HP", "OP"), padded, strict=True))
    return sizes | {"LAYERS": len(weights) - 1}


def _programs(x: Tensor) -> int:
    return max(1, min(PROGRAMS, -(-x.shape[1] * WIDTH // backend.BLOCK)))


def _parted(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    parts = flat.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


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
