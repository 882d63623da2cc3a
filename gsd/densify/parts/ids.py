"""Ids that were never used, and the ranges of options."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

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
