"""A set of coloured ellipsoids: what a creature is made of and what the tracer draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Ellipsoids:
    """N ellipsoids in world units, float64."""

    centres: Float[np.ndarray, "N 3"]
    rotations: Float[np.ndarray, "N 3 3"]  # columns are the local axes in the world
    radii: Float[np.ndarray, "N 3"]  # along the local axes, > 0
    colours: Float[np.ndarray, "N 3"]  # rgb in [0, 1]
    face: Bool[np.ndarray, " N"]  # belongs to the face

    def __len__(self) -> int:
        return len(self.centres)

    def shapes(self) -> Float[np.ndarray, "N 3 3"]:
        """S = R diag(r^2) R^T: n^T S n is the squared half-extent along the unit vector n."""
        return np.einsum("nij,nj,nkj->nik", self.rotations, self.radii**2, self.rotations)

    def bounds(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """The lower and upper corner of the axis-aligned box around all of them."""
        half = np.sqrt(np.einsum("nii->ni", self.shapes()))
        return (self.centres - half).min(0), (self.centres + half).max(0)

    def radius(self) -> float:
        """The distance from the origin of the farthest point, to about one per cent."""
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

    def two_faced(self) -> Ellipsoids:
        """A Janus of the same parts: all that lies in front of the origin is mirrored to the back (x -> -x).

        What lay behind the origin is dropped, what reaches across it stays: the truth metrics are tested on these.
        """
        reach = np.sqrt(self.shapes()[:, 0, 0])
        front = self[self.centres[:, 0] > 0]
        across = self[(self.centres[:, 0] <= 0) & (self.centres[:, 0] + reach > 0) & ~self.face]
        flip = np.array([-1.0, 1.0, 1.0])
        # Mirroring both the world and the local x axis keeps the rotations proper.
        rotations = flip[:, None] * front.rotations * flip
        back = Ellipsoids(front.centres * flip, rotations, front.radii, front.colours, front.face)
        sets = (front, across, back)
        return Ellipsoids(
            np.concatenate([s.centres for s in sets]),
            np.concatenate([s.rotations for s in sets]),
            np.concatenate([s.radii for s in sets]),
            np.concatenate([s.colours for s in sets]),
            np.concatenate([s.face for s in sets]),
        )


def _sphere(count: int) -> Float[np.ndarray, "count 3"]:
    """Points spread evenly over the unit sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], -1)
