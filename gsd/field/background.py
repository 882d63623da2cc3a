"""What is seen past the object."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsd.backend.triton import launch, on_triton
from gsd.field.mlp import MLP
from gsd.rasterizer.sh import basis

DEGREE = 3  # of the spherical harmonics that encode a direction


class Environment(nn.Module):
    """A colour for every direction: spherical harmonics into two hidden layers of 16 (threestudio's background)."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.mlp = MLP((DEGREE + 1) ** 2, 16, 2, 3, generator)

    def forward(self, directions: Float[Tensor, "R 3"]) -> Float[Tensor, "3 R"]:
        """Unit directions to rgb in (0, 1)."""
        return self.mlp(_planes(directions)).sigmoid()


def _planes(directions: Float[Tensor, "R 3"]) -> Float[Tensor, "16 R"]:
    """The basis functions at unit directions; on CUDA they pass no gradient."""
    if not on_triton(directions):
        return basis(directions, DEGREE).T.contiguous()
    from gsd.rasterizer import sh_triton

    count = len(directions)
    out = directions.new_empty((DEGREE + 1) ** 2, count)
    launch(sh_triton.basis, count, directions.contiguous(), out, count)
    return out
