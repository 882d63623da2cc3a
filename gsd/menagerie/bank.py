"""The images of a creature that the prior knows: all individuals from all directions, cached on disk."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gsd.backend.cache import cache_folder, read, write
from gsd.geometry import orbit
from gsd.menagerie import tracer
from gsd.menagerie.creature import Creature

ELEVATIONS = (0.0, 15.0, 30.0)


@dataclass(frozen=True)
class Bank:
    """M = variants x elevations x azimuths images of one creature, in this order (azimuth fastest)."""

    rgb: UInt8[Tensor, "M 3 R R"]  # over white; 0 to 255 for [0, 1]
    alpha: UInt8[Tensor, "M 1 R R"]  # 0 to 255 for [0, 1]
    variant: Int[Tensor, " M"]
    elevation: Float[Tensor, " M"]  # degrees
    azimuth: Float[Tensor, " M"]  # degrees, in [0, 360)
    shape: tuple[int, int, int]  # variants, elevations, azimuths


def build_bank(
    creature: Creature,
    *,
    resolution: int,
    fov: float = 40.0,
    distance: float = 2.2,
    variants: int = 4,
    azimuths: int = 72,
    elevations: tuple[float, ...] = ELEVATIONS,
) -> Bank:
    """The bank of a creature from the cache, or rendered (some tenths of a second at 64 x 64) and then cached.

    The cache lies in the user's cache folder or in $GSD_CACHE; if it is damaged or not writable, images are rendered.

    Args:
        creature: from `find` or `load`.
        resolution: R, pixels.
        fov: field of view of the cameras, degrees.
        distance: of the cameras from the origin, world units.
        variants: number of individuals, from 0.
        azimuths: number of equally spaced azimuths.
        elevations: degrees.

    Returns:
        All images with the labels of their views.
    """
    shape = (variants, len(elevations), azimuths)
    figures = [creature.figure(i) for i in range(variants)]
    parameters = (tracer.VERSION, shape, resolution, float(fov), float(distance), tuple(map(float, elevations)))
    digest = hashlib.blake2b(repr(parameters).encode(), digest_size=16)
    for figure in figures:
        for array in vars(figure).values():
            digest.update(np.ascontiguousarray(array).tobytes())
    file = cache_folder() / "banks" / f"{re.sub(r'[^A-Za-z0-9]+', '_', creature.name)}-{digest.hexdigest()}.bin"

    grid = torch.cartesian_prod(
        torch.arange(variants, dtype=torch.float32), torch.tensor(elevations), torch.arange(azimuths) * (360 / azimuths)
    ).reshape(-1, 3)
    pixels = read(file)
    if pixels is None or len(pixels) != len(grid) * 4 * resolution**2:
        seen = grid[: len(elevations) * azimuths]
        full = torch.ones(len(seen))
        cameras = orbit(seen[:, 2], seen[:, 1], distance * full, fov * full, resolution, resolution)
        shown = [tracer.trace(figure, cameras) for figure in figures]
        rgba = torch.cat([torch.cat([each.rgb, each.alpha], 1) for each in shown])
        pixels = (rgba * 255).round().to(torch.uint8).numpy().tobytes()
        write(file, pixels)
    images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(len(grid), 4, resolution, resolution)
    return Bank(images[:, :3], images[:, 3:], grid[:, 0].long(), grid[:, 1].clone(), grid[:, 2].clone(), shape)
