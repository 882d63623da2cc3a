"""Bilinear warping of an anchor's noise: a negative control (a baseline of Chang et al. 2024)."""

from __future__ import annotations

from gsd.noising.warped.anchored import Anchored, Sparse, copied
from gsd.noising.warped.warp import Warp
from gsd.types import NoiseClaim


class Bilinear(Anchored):
    """Every pixel interpolates the anchor's four around it: neighbours correlate, and the variance is below 1."""

    claims: frozenset[NoiseClaim] = frozenset({"shared"})

    def matrix(self, warp: Warp) -> Sparse:
        return copied(warp.links("bilinear"))
