"""The acceptance suite of the noisings: every test has a figure, a bound and the claim it belongs to.

"unit": every pixel is N(0, 1). "white": those of a map are independent. "shared": views agree on what both see.
Bounds are derived from the law of the figure under the claim. The scene is gsd.noising.check.reference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from gsd.geometry import geometry_at
from gsd.noising.check.reference import cameras, render, surface, visible_in_both
from gsd.noising.check.statistics import (
    Operator,
    correlation,
    correlations,
    corresponding,
    excess_kurtosis,
    ks_p,
    moran_z,
    off_diagonal,
)
from gsd.protocols import Noising
from gsd.random import Stream
from gsd.types import Cameras, Geometry, NoiseClaim

SIZE, PIXELS, CHANNELS, POINTS = 64, 64 * 64, 4, 5_000
PATCH = 16  # side of the patches whose pixels are all correlated with each other
PATCHES = {"object": (24, 24), "silhouette": (8, 24)}  # upper left corners: y, x
ANGLES = (1.0, 5.0, 10.0, 30.0)
FAR = 1_000_000  # steps between draws: whatever a noising keeps over steps has long been replaced
ONE, MANY = 5.0, 5.5  # standard errors allowed: a single figure; the extreme of thousands (P = 1e-4 for 4,096)
TAIL = float(stats.norm.sf(MANY))
# Correlation at corresponding pixels 5 degrees apart below which nothing is shared to speak of: a noising that redraws
# the positions of its points for every view keeps < .15, the sparsest correct one (5,000 points, one value each) .34.
SHARED = 0.3
# Points behind the horizon by less than a tolerance of depth are seen from both sides: a rim, of which as much
# is let pass as of false acceptances by the mask of eq. 13.
RIM = 0.01
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


def check(noising: Noising, draws: int = 500, seed: int = 0, device: torch.device | str = "cpu") -> list[Finding]:
    """All tests of one noising; `draws` of 4 channels are the samples, and a tenth of them at the other angles."""
    bench = Bench(noising, draws, seed, torch.device(device))
    claims = noising.claims
    findings = [*_interface(bench), *_maps(bench), *_few_points(bench), *_views(bench)]
    findings += _algebra(bench)
    return [replace(f, claimed=f.claim is None or f.claim in claims) for f in findings]


class Bench:
    """The reference scene, and samples of a noising's maps on it."""

    def __init__(self, noising: Noising, draws: int, seed: int, device: torch.device) -> None:
        self.noising, self.draws, self.seed, self.device = noising, draws, seed, device
        self.neighbours = self.cameras(0.0, 5.0)
        self.pair = self.samples(self.neighbours, draws)
        # A blend with fresh noise shares sqrt_beta^2 of what the noising itself does.
        self.coupling = noising.sqrt_beta**2

    @staticmethod
    def cameras(*azimuths: float) -> Cameras:
        return cameras(*azimuths, size=SIZE)

    def maps(self, cams: Cameras, steps: Iterable[int], points: int = POINTS) -> Iterator[Float[Tensor, "V C h w"]]:
        geometry = self.geometry(cams, points)
        for step in steps:
            yield self.noising(geometry, CHANNELS, Stream(self.seed, "acceptance", step * FAR)).cpu()

    def geometry(self, cams: Cameras, points: int = POINTS) -> Geometry:
        scene, shown, cams = (to_device(x, self.device) for x in (surface(points), render(cams), cams))
        return geometry_at(scene, shown, cams, SIZE, SIZE)

    def samples(self, cams: Cameras, draws: int, points: int = POINTS) -> Float[Tensor, "V S h w"]:
        """Draws and channels alike are independent samples of the views."""
        return torch.stack(list(self.maps(cams, range(draws), points)), 1).flatten(1, 2)

    def between(self, angle: float, draws: int) -> Float[Tensor, "2 S h w"]:
        """Samples of the anchor and of the view at an angle, degrees."""
        return self.pair if angle == 5.0 else self.samples(self.cameras(0.0, angle), draws)


def to_device(x: Any, device: torch.device) -> Any:
    tensors = {f.name: getattr(x, f.name) for f in fields(x) if isinstance(getattr(x, f.name), Tensor)}
    return replace(x, **{name: tensor.to(device) for name, tensor in tensors.items()})


def _interface(bench: Bench) -> Iterator[Finding]:
    """What gsd.protocols.Noising demands of all: values are a function of the stream, and a step is not the next."""
    first, next_, again = bench.maps(bench.neighbours, (1, 2, 1))
    yield Finding("same step twice: largest difference", float((first - again).abs().max()), high=1e-30)
    n = first.numel() / len(first)  # the views of a step may be equal
    yield Finding("steps far apart: correlation", float((first * next_).mean()), *_around(0, ONE / n**0.5))


def _around(centre: float, width: float) -> tuple[float, float]:
    return centre - width, centre + width


def _maps(bench: Bench) -> Iterator[Finding]:
    """Every test of a map on its own, of the view 5 degrees from the anchor."""
    yield from _filled(bench.pair, "")
    yield from _marginal(bench.pair[1], "")
    yield from _independence(bench.pair[1], "")


def _few_points(bench: Bench) -> Iterator[Finding]:
    """The same of a scene so sparse that most pixels see no point."""
    pair = bench.samples(bench.neighbours, bench.draws // 5, points=50)
    yield from _filled(pair, "50 points: ")
    yield from _marginal(pair[1], "50 points: ")
    yield from _independence(pair[1], "50 points: ")


def _filled(pair: Float[Tensor, "2 S h w"], where: str) -> Iterator[Finding]:
    """No pixel is left undefined or, in every channel, zero, which chance does not make."""
    zero = (pair.unflatten(1, (-1, CHANNELS)) == 0).all(2)
    broken = int((~pair.isfinite()).sum()) + int(zero.sum())
    yield Finding(f"{where}pixels not finite, or 0 in all channels", broken, high=0.5, claim="unit")


def _marginal(x: Float[Tensor, "S h w"], where: str) -> Iterator[Finding]:
    """Whether every pixel is N(0, 1)."""
    S, values = len(x), x.numel()
    yield Finding(f"{where}mean", float(x.mean()), *_around(0, ONE / values**0.5), claim="unit")
    # Var(s^2) = 2 / n for n normal values.
    yield Finding(f"{where}variance", float(x.var()), *_around(1, ONE * (2 / values) ** 0.5), claim="unit")
    # (S - 1) s^2 is chi-square; for S = 2000 the bounds are about 1 +- 5.5 sqrt(2 / S).
    pixel, low, high = x.var(0), *(float(stats.chi2.ppf(p, S - 1)) / (S - 1) for p in (TAIL, 1 - TAIL))
    yield Finding(f"{where}variance of a pixel, least", float(pixel.min()), low=low, claim="unit")
    yield Finding(f"{where}variance of a pixel, most", float(pixel.max()), high=high, claim="unit")
    yield Finding(f"{where}Kolmogorov-Smirnov p", ks_p(x), low=1e-4, claim="unit")
    yield Finding(f"{where}excess kurtosis", excess_kurtosis(x), *_around(0, ONE * (24 / values) ** 0.5), claim="unit")


def _independence(x: Float[Tensor, "S h w"], where: str) -> Iterator[Finding]:
    """Whether the pixels of a map, and its channels, are independent of each other."""
    S, values = len(x), x.numel()
    for name, corner in PATCHES.items():
        square = patch(x, corner)
        off = off_diagonal(correlations(square, square))
        # (S - 1) r^2 is chi-square with one degree, mean 1 and variance 2, nearly independent over the n (n - 1) / 2
        # pairs (Schott 2005).
        energy, width = float((S - 1) * off.square().mean()), ONE * (4 / off.numel()) ** 0.5
        yield Finding(f"{where}off-diagonal energy, {name}", energy, *_around(1, width), claim="white")
        most = float(off.abs().max())
        t = float(stats.t.isf(TAIL, S - 2))  # r sqrt((S - 2) / (1 - r^2)) has Student's law; about 5.5 / sqrt(S)
        high = t / (t * t + S - 2) ** 0.5
        yield Finding(f"{where}largest |correlation|, {name}", most, high=high, claim="white")
    z = moran_z(x[:200])
    n = len(z)  # a mean of n has standard error 1 / sqrt(n), a standard deviation 1 / sqrt(2 n)
    yield Finding(f"{where}Moran z, mean of {n}", float(z.mean()), *_around(0, ONE / n**0.5), claim="white")
    yield Finding(f"{where}Moran z, deviation of {n}", float(z.std()), *_around(1, ONE / (2 * n) ** 0.5), claim="white")
    channels = x.unflatten(0, (-1, CHANNELS)).transpose(0, 1).flatten(1)
    between = float(off_diagonal(channels @ channels.T / channels.shape[1]).abs().max())
    high = MANY * (CHANNELS / values) ** 0.5
    yield Finding(f"{where}largest |correlation|, channels", between, high=high, claim="white")


def patch(x: Float[Tensor, "S h w"], corner: tuple[int, int]) -> Float[Tensor, "S n"]:
    y, left = corner
    return x[:, y : y + PATCH, left : left + PATCH].flatten(1)


def _views(bench: Bench) -> Iterator[Finding]:
    """What two views of a group have in common."""
    few = max(bench.draws // 10, 1)
    near = {a: near_correlation(bench.between(a, few), bench.cameras(0.0, a)) for a in ANGLES}
    for angle, (figure, _) in near.items():
        low = SHARED * bench.coupling if angle == 5.0 else -math.inf
        yield Finding(f"correlation at corresponding pixels, {angle:g} degrees", figure, low, claim="shared")
    same = bench.samples(bench.cameras(20.0, 20.0), few)
    falling = [near_correlation(same, bench.cameras(20.0, 20.0))[0], *(figure for figure, _ in near.values())]
    drop = min(a - b for a, b in itertools.pairwise(falling))
    yield Finding("its smallest loss between 0, 1, 5, 10 and 30 degrees", drop, low=0, claim="shared")
    if bench.coupling == 1:
        yield from _same(*same)
    yield from _opposite(*bench.between(180.0, few))
    if (bench.noising.max_views or 3) >= 3:
        others = bench.samples(bench.cameras(0.0, 5.0, 10.0), few)[1:]
        figure, _ = near_correlation(others, bench.cameras(5.0, 10.0))
        yield Finding("three views: correlation of views 2 and 3", figure, SHARED * bench.coupling, claim="shared")
    if "shared" not in bench.noising.claims:
        figure, error = near[5.0]
        yield Finding("views are independent, 5 degrees", figure, *_around(0, ONE * error), claim="shared")


def near_correlation(maps: Float[Tensor, "2 S h w"], cams: Cameras) -> tuple[float, float]:
    """The correlation at corresponding pixels, and its standard error if the views were independent."""
    one, other = corresponding(maps, *visible_in_both(cams))
    return correlation(one, other), one.numel() ** -0.5


def _same(one: Float[Tensor, "S h w"], other: Float[Tensor, "S h w"]) -> Iterator[Finding]:
    """One camera twice: how many pixels are the same. The others are filled by each view on its own, or have a part
    that is (the ridge of a tent)."""
    equal = ((one - other).abs() < 1e-5).unflatten(0, (-1, CHANNELS)).all(1).repeat_interleave(CHANNELS, 0)
    yield Finding("same camera twice: fraction of equal pixels", float(equal.float().mean()))
    rest = torch.where(equal, 0.0, one * other).sum() / (~equal).sum().clamp_min(1)
    yield Finding("same camera twice: correlation of the others", float(rest))


def _opposite(front: Float[Tensor, "S h w"], back: Float[Tensor, "S h w"]) -> Iterator[Finding]:
    """Views from the front and from behind see nothing in common; what is left and right is exchanged."""
    for name, image in (("same pixels", back), ("mirrored pixels", back.flip(-1))):
        bounds = _around(0, ONE / front.numel() ** 0.5)
        yield Finding(f"opposite views: correlation, {name}", float((front * image).mean()), *bounds, claim="shared")
    for name, corner in PATCHES.items():
        r = correlations(patch(front, corner), patch(back.flip(-1), corner))
        energy, bounds = float((len(front) - 1) * r.square().mean()), _around(1, ONE * (2 / r.numel()) ** 0.5)
        yield Finding(f"opposite views: energy between patches, {name}", energy, *bounds, claim="shared")


def _algebra(bench: Bench) -> Iterator[Finding]:
    """Exact statements about maps = A values, and whether the sampled maps obey that A."""
    cams = bench.neighbours
    operator, opposite = _operator(bench, cams), _operator(bench, bench.cameras(0.0, 180.0))
    if operator is None or opposite is None:
        return
    variance, covariance = operator.within()
    yield Finding("A A^T: largest |variance - 1|", variance, high=EXACT, claim="unit")
    yield Finding("A A^T: largest |covariance|", covariance, high=EXACT, claim="white")
    yield Finding("values that feed several pixels of a view", operator.reused())
    yield Finding("A_i A_j^T: largest singular value - 1", operator.norm() - 1, high=1e-6, claim="white")
    coords, both = visible_in_both(cams)
    exact = operator.near(coords, both)
    yield Finding("A_i A_j^T: mean covariance at corresponding pixels, 5 degrees", float(exact.mean()))
    yield Finding("A_i A_j^T: mean sum of squares of their rows, 5 degrees", operator.predictable(both))
    one, other = corresponding(bench.pair, coords, both)
    drawn = (one * other).double()
    exact = exact * bench.coupling  # the operator is that of the maps before they are blended
    # A product of two unit normals with correlation c has mean c and variance 1 + c^2.
    z = (drawn.mean(0) - exact) / ((1 + exact**2) / len(drawn)) ** 0.5
    yield Finding("sampled against exact, a pixel: largest |z|", float(z.abs().max()), high=MANY)
    means = drawn.mean(1)
    z = (means.mean() - exact.mean()) / (means.std() / len(means) ** 0.5)
    yield Finding("sampled against exact, mean: z", float(z), *_around(0, ONE))
    seen = render(bench.cameras(0.0)).alpha[0, 0] > 0.5
    yield Finding(
        "opposite views: fraction of variance in common", opposite.predictable(seen), high=RIM, claim="shared"
    )


def _operator(bench: Bench, cams: Cameras) -> Operator | None:
    matrix = bench.noising.operator(bench.geometry(cams), Stream(bench.seed, "acceptance"))
    return None if matrix is None else Operator(matrix, PIXELS)
