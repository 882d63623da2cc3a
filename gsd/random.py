"""One seed, many independent named streams.

Every component draws from the stream (seed, name, step). There is no generator state to keep, so adding a component
does not change another's numbers, and a resumed run equals a straight one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Stream:
    """The random numbers of one component at one step."""

    seed: int
    name: str
    step: int = 0

    def at(self, step: int) -> Stream:
        """The same component's stream at another step."""
        return Stream(self.seed, self.name, step)

    def sub(self, name: str) -> Stream:
        """An independent stream of the same step."""
        return Stream(self.seed, f"{self.name}/{name}", self.step)

    def key(self) -> int:
        """63 bits that differ for every (seed, name, step); the key of counter-based values."""
        text = f"{self.seed}:{self.name}:{self.step}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1

    def generator(self) -> torch.Generator:
        """Of the CPU. What it draws is moved to where it is needed, so that every device sees the same numbers."""
        return torch.Generator().manual_seed(self.key())
