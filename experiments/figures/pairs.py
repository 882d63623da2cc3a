"""Two methods compared pair by pair: runs of the same prompt and seed share start, cameras and noise levels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from gsd.statistics.estimates import Estimate
from gsd.statistics.resampling import DRAWS, bootstrap, paired_p


@dataclass(frozen=True)
class Difference:
    mean: Estimate
    p: float  # of no difference, by flipping signs within pairs
    pairs: int


def difference(
    mine: Mapping[Any, float], theirs: Mapping[Any, float], order: Sequence[str] = (), draws: int = DRAWS
) -> Difference | None:
    """mine - theirs over the keys that both have, each beginning with a prompt; the interval is that of `redrawn`.

    None where the two have no key in common.
    """
    keys = [key for key in mine if key in theirs]
    if not keys:
        return None
    a, b = np.array([mine[key] for key in keys]), np.array([theirs[key] for key in keys])
    clusters = redrawn(a - b, [key[0] for key in keys], order)
    return Difference(bootstrap(clusters, draws=draws), paired_p(a.tolist(), b.tolist()), len(keys))


def redrawn(values: Any, prompts: Sequence[str], order: Sequence[str] = ()) -> list[Float[np.ndarray, "_ ..."]]:
    """What a bootstrap redraws together: the values (or curves) of each prompt; with only one prompt, each value alone.

    order: of the prompts; without it, as they first come.
    """
    names: Sequence[Hashable] = prompts if len(set(prompts)) > 1 else range(len(prompts))
    known = [name for name in (order if names is prompts and order else dict.fromkeys(names)) if name in names]
    return [np.array([v for v, other in zip(values, names, strict=True) if other == name], float) for name in known]
