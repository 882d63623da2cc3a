"""A start such as a weak text-to-point-cloud model gives, with an error that is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Bool, Float

from gsd.init.parts.cloud import Growing, turned
from gsd.init.parts.cloud_errors import IN_CLOUD, IN_PARTS, CloudError, chosen
from gsd.menagerie.creature import find
from gsd.menagerie.ellipsoids import Ellipsoids
from gsd.protocols import Init
from gsd.random import Stream
from gsd.ranges import Count, Fraction, Yaw
from gsd.types import Context, PointCloud


@dataclass
class MenagerieCloud(Init):
    """`points` on the surface of the prompt's animal, made coarse, noisy, pale and turned away from the front.

    error: what such models also get wrong, drawn by the run's seed where there is something to draw. Which of them a
    baseline mends depends on its prior; a good one that heeds view words mends all but `turned`.

    - no_face: the parts of the face are missing, its side is as blank as the others (a front that came out blurred)
    - turned: the animal looks backwards, 120 to 240 degrees from the front (models have no agreed front)
    - two_heads: a second head looks backwards, 120 to 240 degrees from the first
    - symmetrised: the front half and its mirror image
    - blob: an ellipsoid of the animal's extent and colours, with no parts
    - any: one of these or none, equally likely
    """

    context: Context
    points: Count = 3000
    jitter: Annotated[float, Interval(ge=0, le=10)] = 0.02  # standard deviation of every coordinate, world units
    missing: Fraction = 0.2  # fraction of the animal's parts left out, drawn by the run's seed; the largest stays
    yaw: Yaw = 10.0  # degrees away from the front
    desaturation: Fraction = 0.5  # 1: grey
    variant: Annotated[int, Interval(ge=0, le=10**6)] = 0  # which individual; 0: as written
    error: CloudError | None = None
    grow: Growing | None = None  # noisy point growing

    def __post_init__(self) -> None:
        self.creature = find(self.context.prompt)
        self.figure = self.creature.figure(self.variant)

    def __call__(self, rng: Stream) -> PointCloud:
        figure, drawn = self.figure, rng.sub("error")
        error = chosen(self.error, drawn)
        if error in IN_PARTS:
            figure = IN_PARTS[error](self.creature, figure, drawn)
        figure = figure[_without(figure, self.missing, rng.sub("missing"))]
        xyz, part = _surface(figure, self.points, rng.sub("surface"))
        jitter = torch.randn(xyz.shape, generator=rng.sub("jitter").generator())
        rgb = torch.from_numpy(figure.colours).float()[part]
        grey = rgb.mean(-1, keepdim=True)
        cloud = PointCloud(turned(xyz + self.jitter * jitter, self.yaw), rgb + self.desaturation * (grey - rgb))
        if error in IN_CLOUD:
            cloud = IN_CLOUD[error](cloud, drawn)
        return cloud if self.grow is None else self.grow(cloud, rng)


def _without(figure: Ellipsoids, missing: float, rng: Stream) -> Bool[np.ndarray, " N"]:
    """Which parts stay: all but the fraction `missing`, and always the largest."""
    keep = np.ones(len(figure), bool)
    others = np.delete(np.arange(len(figure)), figure.radii.prod(1).argmax())
    order = torch.randperm(len(others), generator=rng.generator()).numpy()
    keep[others[order[: round(missing * len(others))]]] = False
    return keep


def _surface(figure: Ellipsoids, count: int, rng: Stream) -> tuple[Float[torch.Tensor, "count 3"], torch.Tensor]:
    """Points spread evenly over the visible surface, and the part that each lies on.

    Directions u on the unit sphere become points of an ellipsoid that stand for an area prod(r) |u / r|, or for none
    inside another part. `count` of them are drawn by area in equal steps through a shuffled list, so none comes twice.
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
