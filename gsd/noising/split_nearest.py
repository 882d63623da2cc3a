"""Nearest warping made exact, for pairs of views."""

from __future__ import annotations

from gsd.errors import GsdError
from gsd.noising.warped.anchored import Anchored, Split, split
from gsd.noising.warped.warp import Warp


class SplitNearest(Anchored):
    """A value that m pixels of the other view take is split: y = x / sqrt(m) + z - mean(z), exactly white noise.

    Of gsd's exact noisings it makes corresponding pixels most alike. It is the rule for expansion of Burgert et al.
    (Go-with-the-Flow, 2025), with correspondences from the depth. Two views per group: a third would be coupled to the
    second through the anchor alone.
    """

    max_views = 2

    def matrix(self, warp: Warp) -> Split:
        most = max(warp.sizes)
        if most > self.max_views:
            raise GsdError(
                f"noising=split_nearest couples the two views of a group, and there are {most}; "
                "set camera.views=2, or use another noising such as noising=integral."
            )
        return split(warp.links("nearest"))
