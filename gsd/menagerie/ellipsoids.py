"""A set of coloured ellipsoids: what creatures consist of and the tracer renders."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Ellipsoids:
    """N ellipsoids in world units, float64."""

    centres: Float[np.ndarray, "N 3"]
    rotations: Float[np.ndarray, "N 3 3"]  # columns are the local axes in world coordinates
    radii: Float[np.ndarray, "N 3"]  # along the local axes, > 0
    colours: Float[np.ndarray, "N 3"]  # rgb in [0, 1]
    face: Bool[np.ndarray, " N"]  # belongs to the face

    def __len__(self) -> int:
        return len(self.centres)

    def shapes(self) -> Float[np.ndarray, "N 3 3"]:
        """S = R diag(r^2) R^T: n^T S n is the squared half-extent along the unit vector n."""
        return np.einsum("nij,nj,nkj->nik", self.rotations, self.radii**2, self.rotations)

    def bounds(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Lower and upper corner of the axis-aligned bounding box."""
        half = np.sqrt(np.einsum("nii->ni", self.shapes()))
        return (self.centres - half).min(0), (self.centres + half).max(0)

    def radius(self) -> float:
        """Distance of the farthest point from the origin, to about one per cent."""
        surface = _sphere(400) * self.radii[:, None]
        points = self.centres[:, None] + np.einsum("nij,nsj->nsi", self.rotations, surface)
        return float(np.linalg.norm(points, axis=-1).max())

    def moved(self, offset: Float[np.ndarray, "3"], scale: float) -> Ellipsoids:
        """Shifted by `offset`, then scaled about the origin."""
        return Ellipsoids(scale * (self.centres + offset), self.rotations, scale * self.radii, self.colours, self.face)

    def __getitem__(self, keep: Bool[np.ndarray, " N"]) -> Ellipsoids:
        return Ellipsoids(
            self.centres[keep], self.rotations[keep], self.radii[keep], self.colours[keep], self.face[keep]
        )

    def __add__(self, other: Ellipsoids) -> Ellipsoids:
        return Ellipsoids(*(np.concatenate([mine, vars(other)[field]]) for field, mine in vars(self).items()))

    def two_faced(self) -> Ellipsoids:
        """A Janus of the same parts: the half in front of the origin and its mirror image.

        Parts centred in front are doubled (x -> -x). Parts centred behind are dropped, or, if they extend to the front,
        moved to the mirror plane and squeezed to the same forward extent.
        """
        shapes = self.shapes()
        reach = np.sqrt(shapes[:, 0, 0])
        forward = self.centres[:, 0] + reach
        front = self[self.centres[:, 0] > 0]
        flip = np.array([-1.0, 1.0, 1.0])
        # Mirroring both the world and the local x axis keeps the rotations proper.
        back = replace(front, centres=front.centres * flip, rotations=flip[:, None] * front.rotations * flip)

        across = (self.centres[:, 0] <= 0) & (forward > 0) & ~self.face
        squeeze = np.stack([(forward / reach)[across], np.ones(across.sum()), np.ones(across.sum())], 1)
        squared, axes = np.linalg.eigh(squeeze[:, :, None] * shapes[across] * squeeze[:, None, :])
        axes[:, :, 0] *= np.linalg.det(axes)[:, None]
        centred = replace(self[across], centres=self.centres[across] * [0, 1, 1], rotations=axes, radii=squared**0.5)
        return front + centred + back


def _sphere(count: int) -> Float[np.ndarray, "count 3"]:
    """Points spread evenly over the unit sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], -1)
