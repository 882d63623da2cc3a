"""Two ways of warping noise that do not keep it white noise: negative controls (the baselines of Chang et al. 2024)."""

from __future__ import annotations

from gsd.noising.anchored import Anchored, Sparse, copied
from gsd.noising.warp import Warp
from gsd.types import NoiseClaim


class Nearest(Anchored):
    """Every pixel takes the value of the anchor's pixel that contains it.

    Each value is N(0, 1), but pixels that fall into the same one are equal (the paper's Fig. 5 calls the distribution
    discrepant; what fails is independence).
    """

    claims: frozenset[NoiseClaim] = frozenset({"unit", "shared"})

    def weave(self, warp: Warp) -> Sparse:
        return copied(warp.links("nearest"))


class Bilinear(Anchored):
    """Every pixel interpolates the four of the anchor around it: neighbours are alike and their variance is below 1."""

    claims: frozenset[NoiseClaim] = frozenset({"shared"})

    def weave(self, warp: Warp) -> Sparse:
        return copied(warp.links("bilinear"))
