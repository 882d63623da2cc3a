"""What densifiers share: rows of Gaussians that are replaced, and ids that were never used."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor, nn

from gsd.protocols import Parameters

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Ids:
    """Hands out ids that were never used."""

    def __init__(self) -> None:
        self.next: int | None = None

    def fresh(self, ids: Int[Tensor, " N"], count: int) -> Int[Tensor, " count"]:
        if self.next is None:
            self.next = int(ids.max()) + 1 if len(ids) else 0
        self.next += count
        return torch.arange(self.next - count, self.next, dtype=ids.dtype, device=ids.device)


def replace_rows(
    params: Parameters,
    optimizer: torch.optim.Optimizer,
    values: dict[str, Tensor],
    source: Int[Tensor, " M"],
    kept: Bool[Tensor, " M"],
) -> None:
    """Make `values` the parameters; row i takes the moments of the old row source[i] if it is kept, else zeros."""
    for group in optimizer.param_groups:
        name = group["name"]
        if name not in values:
            continue
        old = params[name]
        new = nn.Parameter(values[name].detach().clone(), requires_grad=old.requires_grad)
        state = optimizer.state.pop(old, {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == old.shape:
                rows = value[source]
                rows[~kept] = 0
                state[key] = rows
        if state:
            optimizer.state[new] = state
        group["params"] = [new]
        params[name] = new
