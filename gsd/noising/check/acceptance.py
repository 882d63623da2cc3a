"""The acceptance suite of the noisings: every test has a figure, a bound and the claim it belongs to.

Bounds are derived from the law of the figure under the claim, see gsd.noising.check.laws. The scene is
gsd.noising.check.reference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.geometry import geometry_at
from gsd.noising.check.laws import (
    CHANNELS,
    MANY,
    ONE,
    SHARED,
    Finding,
    around,
    exactness,
    filled,
    independence,
    marginal,
    patch,
)
from gsd.noising.check.reference import cameras, render, surface, visible_in_both
from gsd.noising.check.statistics import Operator, correlation, correlations, corresponding
from gsd.protocols import Noising
from gsd.random import Stream
from gsd.types import Cameras, Geometry

SIZE, PIXELS, POINTS = 64, 64 * 64, 5_000
PATCHES = {"object": (24, 24), "silhouette": (8, 24)}  # upper left corners: y, x
ANGLES = (1.0, 5.0, 10.0, 30.0)
FAR = 1_000_000  # steps between draws: whatever a noising keeps over steps has long been replaced
# Points behind the horizon by less than a tolerance of depth are seen from both sides: a rim, of which as much
# is let pass as of false acceptances by the mask of eq. 13.
RIM = 0.01


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
    yield Finding("steps far apart: correlation", float((first * next_).mean()), *around(0, ONE / n**0.5))


def _maps(bench: Bench) -> Iterator[Finding]:
    """Every test of a map on its own, of the view 5 degrees from the anchor."""
    yield from filled(bench.pair, "")
    yield from marginal(bench.pair[1], "")
    yield from independence(bench.pair[1], "", PATCHES)


def _few_points(bench: Bench) -> Iterator[Finding]:
    """The same of a scene so sparse that most pixels see no point."""
    pair = bench.samples(bench.neighbours, bench.draws // 5, points=50)
    yield from filled(pair, "50 points: ")
    yield from marginal(pair[1], "50 points: ")
    yield from independence(pair[1], "50 points: ", PATCHES)


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
        yield Finding("views are independent, 5 degrees", figure, *around(0, ONE * error), claim="shared")


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
        bounds = around(0, ONE / front.numel() ** 0.5)
        yield Finding(f"opposite views: correlation, {name}", float((front * image).mean()), *bounds, claim="shared")
    for name, corner in PATCHES.items():
        r = correlations(patch(front, corner), patch(back.flip(-1), corner))
        energy, bounds = float((len(front) - 1) * r.square().mean()), around(1, ONE * (2 / r.numel()) ** 0.5)
        yield Finding(f"opposite views: energy between patches, {name}", energy, *bounds, claim="shared")


def _algebra(bench: Bench) -> Iterator[Finding]:
    """Exact statements about maps = A values, and whether the sampled maps obey that A."""
    cams = bench.neighbours
    operator, opposite = _operator(bench, cams), _operator(bench, bench.cameras(0.0, 180.0))
    if operator is None or opposite is None:
        return
    yield from exactness(operator)
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
    yield Finding("sampled against exact, mean: z", float(z), *around(0, ONE))
    seen = render(bench.cameras(0.0)).alpha[0, 0] > 0.5
    yield Finding(
        "opposite views: fraction of variance in common", opposite.predictable(seen), high=RIM, claim="shared"
    )


def _operator(bench: Bench, cams: Cameras) -> Operator | None:
    matrix = bench.noising.operator(bench.geometry(cams), Stream(bench.seed, "acceptance"))
    return None if matrix is None else Operator(matrix, PIXELS)
