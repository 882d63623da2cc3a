"""A start such as a weak text-to-point-cloud model gives, with an error that is chosen."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from gsd.init.parts.cloud import Growing, turned
from gsd.menagerie.creature import find
from gsd.menagerie.ellipsoids import Ellipsoids
from gsd.protocols import Init
from gsd.random import Stream
from gsd.types import Context, Fraction, PointCloud


class MenagerieCloud(Init):
    """`points` on the surface of the prompt's animal: coarse, noisy, pale and not quite towards the front.

    jitter: standard deviation (world units) of every coordinate. missing: share of the animal's parts that are left
    out, drawn by the run's seed; the largest one stays. yaw: degrees by which it looks away from the front.
    desaturation: 1 leaves only grey. variant: which individual of its kind, 0 as written. grow: noisy point growing.
    """

    def __init__(
        self,
        context: Context,
        points: PositiveInt = 3000,
        jitter: NonNegativeFloat = 0.02,
        missing: Fraction = 0.2,
        yaw: float = 10.0,
        desaturation: Fraction = 0.5,
        variant: NonNegativeInt = 0,
        grow: Growing | None = None,
    ) -> None:
        self.figure = find(context.prompt).figure(variant)
        self.points, self.jitter, self.missing = points, jitter, missing
        self.yaw, self.desaturation, self.grow = yaw, desaturation, grow

    def __call__(self, rng: Stream) -> PointCloud:
        figure = self.figure[_kept(self.figure, self.missing, rng.sub("missing"))]
        xyz, part = _surface(figure, self.points, rng.sub("surface"))
        jitter = torch.randn(xyz.shape, generator=rng.sub("jitter").generator())
        rgb = torch.from_numpy(figure.colours).float()[part]
        grey = rgb.mean(-1, keepdim=True)
        cloud = PointCloud(turned(xyz + self.jitter * jitter, self.yaw), rgb + self.desaturation * (grey - rgb))
        return cloud if self.grow is None else self.grow(cloud, rng)


def _kept(figure: Ellipsoids, missing: float, rng: Stream) -> Bool[np.ndarray, " N"]:
    """All parts but a share of them; never without the largest."""
    keep = np.ones(len(figure), bool)
    others = np.delete(np.arange(len(figure)), figure.radii.prod(1).argmax())
    order = torch.randperm(len(others), generator=rng.generator()).numpy()
    keep[others[order[: round(missing * len(others))]]] = False
    return keep


def _surface(figure: Ellipsoids, count: int, rng: Stream) -> tuple[Float[torch.Tensor, "count 3"], torch.Tensor]:
    """Points spread evenly over what can be seen from outside, and the part each lies on.

    Directions on the unit sphere become points of an ellipsoid; the area they stand for is prod(r) |u / r|, or none
    within another part. `count` of them are drawn by area, in equal steps through a shuffled row, so that none comes
    twice.
    """
    generator = rng.generator()
    directions = torch.nn.functional.normalize(
        torch.randn(len(figure), 2 * count, 3, generator=generator, dtype=torch.float64), dim=-1
    ).numpy()
    radii = figure.radii[:, None]
    area = radii.prod(-1) * np.linalg.norm(directions / radii, axis=-1)
    xyz = figure.centres[:, None] + np.einsum("nij,nsj->nsi", figure.rotations, radii * directions)
    for k in range(len(figure)):
        local = (xyz - figure.centres[k]) @ figure.rotations[k] / figure.radii[k]
        hidden = (local**2).sum(-1) < 1
        hidden[k] = False
        area[hidden] = 0
    order = torch.randperm(area.size, generator=generator)
    row = torch.from_numpy(area).flatten()[order].cumsum(0)
    steps = (torch.arange(count) + torch.rand((), generator=generator)) / count * row[-1]
    chosen = order[torch.searchsorted(row, steps.double()).clamp_max(area.size - 1)]
    return torch.from_numpy(xyz).view(-1, 3)[chosen].float(), chosen // (2 * count)
