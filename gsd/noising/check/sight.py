"""A noising on a run's scene, where points need not lie where rays end: what it reaches and what views share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import turned_to
from gsd.noising.check.acceptance import ANGLES, FAR
from gsd.noising.check.laws import CHANNELS, PATCH, SHARED, Finding, exactness, filled, independence, marginal
from gsd.noising.check.statistics import Operator
from gsd.protocols import Noising
from gsd.random import Stream
from gsd.types import Cameras, Geometry
from gsd.warping.compare import noise_correlation

AROUND = 4  # places around the scene from which views look at it
MANY_CHANNELS = 100  # in place of draws, where only a mean over pixels and channels counts


@dataclass(frozen=True)
class Sight:
    """The scene of a run after some steps, and the first camera of the step that follows."""

    name: str  # of the run
    steps: int  # taken
    camera: Cameras  # one
    look: Callable[[Cameras], Geometry]
    rng: Stream  # of the run's noise at that step

    def views(self, *angles: float, places: int = 1) -> Geometry:
        """A group of views at these angles (degrees) from the camera, and as many groups spaced evenly around it."""
        starts = self.camera.azimuth + torch.arange(places) * (360 / places)
        azimuth = (starts[:, None] + torch.tensor(angles)).flatten()
        group = torch.arange(places).repeat_interleave(len(angles))
        return self.look(replace(turned_to(self.camera[torch.zeros_like(group)], azimuth), group=group))

    def samples(self, noising: Noising, seen: Geometry, draws: int) -> Float[Tensor, "V S h w"]:
        """Draws and channels alike are independent samples of the views."""
        steps = range(self.rng.step, self.rng.step + draws * FAR, FAR)
        return torch.cat([noising(seen, CHANNELS, self.rng.at(step)).cpu() for step in steps], 1)

    def correlation(self, noising: Noising, seen: Geometry) -> float:
        """Of the views of a group, at corresponding pixels of the object."""
        found = noise_correlation(noising(seen, MANY_CHANNELS, self.rng), seen)
        return math.nan if found is None else found


def check_sight(noising: Noising, sight: Sight, draws: int = 500) -> list[Finding]:
    """All tests of a noising on a run's scene; `draws` of 4 channels are the samples of a map.

    Raises:
        GsdError: where the scene shows nothing that noise could hold on to.
    """
    seen = sight.views(0.0, 5.0)
    if not (seen.alpha > 0.5).flatten(1).any(1).all():
        raise GsdError(
            f"{sight.name} shows no object at step {sight.steps}, where no pixel has alpha above 0.5; "
            "choose other steps by --at."
        )
    pair = sight.samples(noising, seen, draws)
    findings = [*_reach(noising, sight), *_shared(noising, sight), *filled(pair, ""), *marginal(pair[1], "")]
    findings += independence(pair[1], "", patches(seen))
    matrix = noising.operator(seen, sight.rng)
    if matrix is not None:
        findings += exactness(Operator(matrix, seen.depth[0].numel()))
    return [replace(f, claimed=f.claim is None or f.claim in noising.claims) for f in findings]


def _reach(noising: Noising, sight: Sight) -> Iterator[Finding]:
    seen = sight.views(0.0, places=AROUND)
    on_object = seen.alpha > 0.5
    yield Finding("pixels of the object: fraction of the map", float(on_object.float().mean()))
    reached = noising.reaches(seen, sight.rng)
    if reached is not None:
        yield Finding("of these, fraction that points reach", float(reached[on_object].float().mean()))


def _shared(noising: Noising, sight: Sight) -> Iterator[Finding]:
    """What two views have in common; the object's correspondences are those of the rendered depth."""
    same = sight.views(0.0, 0.0, places=AROUND)
    products = torch.stack([*noising(same, MANY_CHANNELS, sight.rng).unflatten(0, (AROUND, 2)).unbind(1)]).prod(0)
    on_object = (same.alpha[::2] > 0.5)[:, 0]
    for name, mask in (("object", on_object), ("background", ~on_object)):
        if mask.any():
            yield Finding(f"same camera twice: correlation, {name}", float(products.mean(1)[mask].mean()))
    for angle in ANGLES:
        figure = sight.correlation(noising, sight.views(0.0, angle, places=AROUND))
        low = SHARED * noising.sqrt_beta**2 if angle == 5.0 else -math.inf
        yield Finding(f"correlation at corresponding pixels, {angle:g} degrees", figure, low, claim="shared")


def patches(seen: Geometry) -> dict[str, tuple[int, int]]:
    """The upper left corners (y, x) of a patch in the middle of the object, and of one of the background."""
    inside = (seen.alpha[1, 0] > 0.5).nonzero().float().mean(0)
    most = torch.tensor(seen.alpha.shape[2:]) - PATCH
    y, x = torch.minimum((inside.cpu() - PATCH / 2).round().long(), most).clamp_min(0).tolist()
    return {"object": (y, x), "upper left": (0, 0)}
