"""Nearest warping of an anchor's noise: a negative control (a baseline of Chang et al. 2024)."""

from __future__ import annotations

from gsd.noising.warped.anchored import Anchored, Sparse, copied
from gsd.noising.warped.warp import Warp
from gsd.types import NoiseClaim


class Nearest(Anchored):
    """Every pixel takes the value of the anchor's pixel that contains it.

    Each value is N(0, 1), but pixels that fall into the same anchor pixel are equal. (The paper's Fig. 5 calls the
    distribution discrepant; what fails is independence.)
    """

    claims: frozenset[NoiseClaim] = frozenset({"unit", "shared"})

    def matrix(self, warp: Warp) -> Sparse:
        return copied(warp.links("nearest"))
