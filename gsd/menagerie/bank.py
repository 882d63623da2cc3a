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
class Views:
    """M = variants x elevations x azimuths views of any creature, in this order (azimuth fastest)."""

    variant: Int[Tensor, " M"]
    elevation: Float[Tensor, " M"]  # degrees
    azimuth: Float[Tensor, " M"]  # degrees, in [0, 360)
    shape: tuple[int, int, int]  # variants, elevations, azimuths


@dataclass(frozen=True)
class Bank(Views):
    """The images of the views of one creature."""

    rgb: UInt8[Tensor, "M 3 R R"]  # over white; 0 to 255 for [0, 1]
    alpha: UInt8[Tensor, "M 1 R R"]  # 0 to 255 for [0, 1]


def bank_views(variants: int, azimuths: int, elevations: tuple[float, ...]) -> Views:
    """What the images of a bank show: every variant from every elevation (degrees) and equally spaced azimuth."""
    grid = torch.cartesian_prod(
        torch.arange(variants, dtype=torch.float32), torch.tensor(elevations), torch.arange(azimuths) * (360 / azimuths)
    ).reshape(-1, 3)
    shape = (variants, len(elevations), azimuths)
    return Views(grid[:, 0].long(), grid[:, 1].clone(), grid[:, 2].clone(), shape)


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
    shown = bank_views(variants, azimuths, elevations)
    figures = [creature.figure(i) for i in range(variants)]
    parameters = (tracer.VERSION, shown.shape, resolution, float(fov), float(distance), tuple(map(float, elevations)))
    digest = hashlib.blake2b(repr(parameters).encode(), digest_size=16)
    for figure in figures:
        for array in vars(figure).values():
            digest.update(np.ascontiguousarray(array).tobytes())
    file = cache_folder() / "banks" / f"{re.sub(r'[^A-Za-z0-9]+', '_', creature.name)}-{digest.hexdigest()}.bin"

    pixels, count = read(file), len(shown.azimuth)
    if pixels is None or len(pixels) != count * 4 * resolution**2:
        azimuth, elevation = (angle[: count // variants] for angle in (shown.azimuth, shown.elevation))
        full = torch.ones(len(azimuth))
        cameras = orbit(azimuth, elevation, distance * full, fov * full, resolution, resolution)
        renders = [tracer.trace(figure, cameras) for figure in figures]
        rgba = torch.cat([torch.cat([each.rgb, each.alpha], 1) for each in renders])
        pixels = (rgba * 255).round().to(torch.uint8).numpy().tobytes()
        write(file, pixels)
    images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(count, 4, resolution, resolution)
    return Bank(**vars(shown), rgb=images[:, :3], alpha=images[:, 3:])
