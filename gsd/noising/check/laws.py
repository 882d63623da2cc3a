"""What holds for maps of N(0, I) whatever the scene: figures of samples, and the intervals that follow from their law.

"unit": every pixel is N(0, 1). "white": those of a map are independent. "shared": views agree on what both see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jaxtyping import Float
from scipy import stats
from torch import Tensor

from gsd.noising.check.statistics import Operator, correlations, excess_kurtosis, ks_p, moran_z, off_diagonal
from gsd.types import NoiseClaim

CHANNELS = 4  # of a draw
PATCH = 16  # side of the patches whose pixels are all correlated with each other, unless maps are smaller
ONE, MANY = 5.0, 5.5  # standard errors allowed: a single figure; the extreme of thousands (P = 1e-4 for 4,096)
TAIL = float(stats.norm.sf(MANY))
# Correlation at corresponding pixels 5 degrees apart below which nothing is shared to speak of: a noising that redraws
# the positions of its points for every view keeps < .15, the sparsest correct one (5,000 points, one value each) .34.
SHARED = 0.3
EXACT = 1e-12  # float64 rounding of a sum of a few thousand products


@dataclass(frozen=True)
class Finding:
    """A test's figure, the open interval it has to lie in, and the claim it tests (None: required of every noising)."""

    test: str
    figure: float
    low: float = -math.inf
    high: float = math.inf
    claim: NoiseClaim | None = None
    claimed: bool = True

    @property
    def holds(self) -> bool:
        return self.low < self.figure < self.high

    @property
    def failed(self) -> bool:
        return self.claimed and not self.holds

    @property
    def verdict(self) -> str:
        if self.low == -math.inf and self.high == math.inf:
            return "measured"
        if self.claimed:
            return "ok" if self.holds else "FAILED"
        return "not claimed, holds" if self.holds else "not claimed, fails"

    @property
    def threshold(self) -> str:
        if self.low == -math.inf:
            return "" if self.high == math.inf else f"< {self.high:.3g}"
        if self.high == math.inf:
            return f"> {self.low:.3g}"
        return f"{(self.low + self.high) / 2:g} ± {(self.high - self.low) / 2:.2g}"


def around(centre: float, width: float) -> tuple[float, float]:
    return centre - width, centre + width


def filled(pair: Float[Tensor, "2 S h w"], where: str) -> Iterator[Finding]:
    """No pixel is left undefined or, in every channel, zero, which chance does not make."""
    zero = (pair.unflatten(1, (-1, CHANNELS)) == 0).all(2)
    broken = int((~pair.isfinite()).sum()) + int(zero.sum())
    yield Finding(f"{where}pixels not finite, or 0 in all channels", broken, high=0.5, claim="unit")


def marginal(x: Float[Tensor, "S h w"], where: str) -> Iterator[Finding]:
    """Whether every pixel is N(0, 1)."""
    S, values = len(x), x.numel()
    yield Finding(f"{where}mean", float(x.mean()), *around(0, ONE / values**0.5), claim="unit")
    # Var(s^2) = 2 / n for n normal values.
    yield Finding(f"{where}variance", float(x.var()), *around(1, ONE * (2 / values) ** 0.5), claim="unit")
    # (S - 1) s^2 is chi-square; for S = 2000 the bounds are about 1 +- 5.5 sqrt(2 / S).
    pixel, low, high = x.var(0), *(float(stats.chi2.ppf(p, S - 1)) / (S - 1) for p in (TAIL, 1 - TAIL))
    yield Finding(f"{where}variance of a pixel, least", float(pixel.min()), low=low, claim="unit")
    yield Finding(f"{where}variance of a pixel, most", float(pixel.max()), high=high, claim="unit")
    yield Finding(f"{where}Kolmogorov-Smirnov p", ks_p(x), low=1e-4, claim="unit")
    yield Finding(f"{where}excess kurtosis", excess_kurtosis(x), *around(0, ONE * (24 / values) ** 0.5), claim="unit")


def independence(x: Float[Tensor, "S h w"], where: str, patches: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    """Whether the pixels of a map, and its channels, are independent of each other.

    patches: name -> upper left corner (y, x) of a patch whose pixels are all correlated with each other.
    """
    S, values = len(x), x.numel()
    for name, corner in patches.items():
        square = patch(x, corner)
        off = off_diagonal(correlations(square, square))
        # (S - 1) r^2 is chi-square with one degree, mean 1 and variance 2, nearly independent over the n (n - 1) / 2
        # pairs (Schott 2005).
        energy, width = float((S - 1) * off.square().mean()), ONE * (4 / off.numel()) ** 0.5
        yield Finding(f"{where}off-diagonal energy, {name}", energy, *around(1, width), claim="white")
        most = float(off.abs().max())
        t = float(stats.t.isf(TAIL, S - 2))  # r sqrt((S - 2) / (1 - r^2)) has Student's law; about 5.5 / sqrt(S)
        high = t / (t * t + S - 2) ** 0.5
        yield Finding(f"{where}largest |correlation|, {name}", most, high=high, claim="white")
    z = moran_z(x[:200])
    n = len(z)  # a mean of n has standard error 1 / sqrt(n), a standard deviation 1 / sqrt(2 n)
    yield Finding(f"{where}Moran z, mean of {n}", float(z.mean()), *around(0, ONE / n**0.5), claim="white")
    yield Finding(f"{where}Moran z, deviation of {n}", float(z.std()), *around(1, ONE / (2 * n) ** 0.5), claim="white")
    channels = x.unflatten(0, (-1, CHANNELS)).transpose(0, 1).flatten(1)
    between = float(off_diagonal(channels @ channels.T / channels.shape[1]).abs().max())
    high = MANY * (CHANNELS / values) ** 0.5
    yield Finding(f"{where}largest |correlation|, channels", between, high=high, claim="white")


def patch(x: Float[Tensor, "S h w"], corner: tuple[int, int]) -> Float[Tensor, "S n"]:
    y, left = corner
    return x[:, y : y + PATCH, left : left + PATCH].flatten(1)


def exactness(operator: Operator) -> Iterator[Finding]:
    """What maps = A values promise of two views, without sampling."""
    variance, covariance = operator.within()
    yield Finding("A A^T: largest |variance - 1|", variance, high=EXACT, claim="unit")
    yield Finding("A A^T: largest |covariance|", covariance, high=EXACT, claim="white")
    yield Finding("values that feed several pixels of a view", operator.reused())
    yield Finding("A_i A_j^T: largest singular value - 1", operator.norm() - 1, high=1e-6, claim="white")
