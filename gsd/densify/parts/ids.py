"""Ids that were never used."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


class Ids:
    """Hands out ids that were never used."""

    def __init__(self) -> None:
        self.next: int | None = None

    def fresh(self, ids: Int[Tensor, " N"], count: int) -> Int[Tensor, " count"]:
        if self.next is None:
            self.next = int(ids.max()) + 1 if len(ids) else 0
        self.next += count
        return torch.arange(self.next - count, self.next, dtype=ids.dtype, device=ids.device)
