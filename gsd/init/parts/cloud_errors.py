"""What weak text-to-point-cloud models get wrong: errors in an animal's parts, and in the cloud made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch

from gsd.init.parts.cloud import turned
from gsd.menagerie.creature import Creature
from gsd.menagerie.ellipsoids import Ellipsoids
from gsd.random import Stream
from gsd.types import PointCloud

CloudError = Literal["no_face", "turned", "two_heads", "symmetrised", "blob", "any"]
FROM_BEHIND_DEG = 60.0  # a second head or a turned cloud looks at most this far from straight back


def chosen(error: CloudError | None, rng: Stream) -> CloudError | None:
    """For "any", one of the others or none, equally likely."""
    choices = (None, *get_args(CloudError)[:-1])
    return choices[rng.key() % len(choices)] if error == "any" else error


def no_face(creature: Creature, figure: Ellipsoids, rng: Stream) -> Ellipsoids:
    return figure[~figure.face]


def two_heads(creature: Creature, figure: Ellipsoids, rng: Stream) -> Ellipsoids:
    """A second limb with a face, turned backwards about the centre of the first part."""
    head = figure[creature.head()]
    angle = np.deg2rad(_backwards(rng))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    centre = figure.centres[0]
    return figure + replace(head, centres=(head.centres - centre) @ turn.T + centre, rotations=turn @ head.rotations)


def symmetrised(creature: Creature, figure: Ellipsoids, rng: Stream) -> Ellipsoids:
    return figure.two_faced()


def backwards(cloud: PointCloud, rng: Stream) -> PointCloud:
    return PointCloud(turned(cloud.xyz, _backwards(rng)), cloud.rgb)


def blob(cloud: PointCloud, rng: Stream) -> PointCloud:
    """Points spread over an ellipsoid of the cloud's spread along x, y and z, with its colours in random order."""
    generator = rng.generator()
    directions = torch.nn.functional.normalize(torch.randn(cloud.xyz.shape, generator=generator), dim=-1)
    radii = 3**0.5 * cloud.xyz.std(0)
    order = torch.randperm(len(cloud.rgb), generator=generator)
    return PointCloud(cloud.xyz.mean(0) + radii * directions, cloud.rgb[order])


def _backwards(rng: Stream) -> float:
    """Degrees."""
    return 180 + FROM_BEHIND_DEG * float(2 * torch.rand((), generator=rng.generator()) - 1)


IN_PARTS: dict[CloudError | None, Callable[[Creature, Ellipsoids, Stream], Ellipsoids]] = {
    "no_face": no_face,
    "two_heads": two_heads,
    "symmetrised": symmetrised,
}
IN_CLOUD: dict[CloudError | None, Callable[[PointCloud, Stream], PointCloud]] = {"turned": backwards, "blob": blob}
