"""Two methods compared pair by pair: runs of the same prompt and seed share start, cameras and noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gsd.statistics.pairs import Difference, paired


def difference(mine: Mapping[Any, float], theirs: Mapping[Any, float], yes_no: int = 0) -> Difference | None:
    """mine - theirs over the keys that both have, each beginning with a prompt; the prompts are the units.

    yes_no: as of `paired`. None where the two have no key in common.
    """
    keys = [key for key in mine if key in theirs]
    return paired([mine[key] - theirs[key] for key in keys], [key[0] for key in keys], yes_no) if keys else None
