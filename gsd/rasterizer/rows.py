"""Rows of Gaussians, replaced together with their moments in the optimiser."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from gsd.protocols import Parameters


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


def keep_rows(params: Parameters, optimizer: torch.optim.Optimizer, keep: Bool[Tensor, " N"]) -> None:
    """Remove the other rows."""
    rows = keep.nonzero()[:, 0]
    values = {name: p.detach()[rows] for name, p in params.items()}
    replace_rows(params, optimizer, values, rows, torch.ones_like(rows, dtype=torch.bool))
