"""The analytic scene that the noise thresholds refer to: four spheres that hide each other, with exact depth."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.geometry import orbit, pixel_centres
from gsd.types import Cameras, Render, Scene

CENTRES = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.38, 0.42], [0.0, -0.38, 0.42], [0.45, 0.0, 0.0]], dtype=torch.float64)
RADII = torch.tensor([0.5, 0.2, 0.2, 0.2], dtype=torch.float64)


def cameras(
    *azimuths: float, size: int = 64, fov: float = 60.0, distance: float = 1.6, elevation: float = 0.0
) -> Cameras:
    """One group of views around the z axis; angles in degrees."""
    az = torch.tensor(azimuths)
    full = torch.ones_like(az)
    return orbit(az, elevation * full, distance * full, fov * full, size, size, torch.zeros(len(az), dtype=torch.long))


def depth_along(cams: Cameras, pixels: Float[Tensor, "V *n 2"]) -> Float[Tensor, "V *n"]:
    """Exact camera z of the first hit through pixel coordinates; inf where nothing is hit."""
    viewmats, Ks = cams.viewmats.double(), cams.Ks.double()
    rays = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1).double()
    rays = torch.einsum("vij,v...j->v...i", torch.linalg.inv(Ks), rays)
    centres = torch.einsum("vij,sj->vsi", viewmats[:, :3, :3], CENTRES) + viewmats[:, None, :3, 3]
    a = (rays**2).sum(-1)
    best = torch.full(rays.shape[:-1], torch.inf, dtype=torch.float64)
    for s in range(len(RADII)):
        centre = centres[:, s].view(-1, *[1] * (rays.ndim - 2), 3)
        b = (rays * centre).sum(-1)
        disc = b**2 - a * ((centre**2).sum(-1) - RADII[s] ** 2)
        z = (b - disc.clamp_min(0).sqrt()) / a
        best = torch.where((disc > 0) & (z > 0), torch.minimum(best, z), best)
    return best


def render(cams: Cameras) -> Render:
    """Exact depth and a hard silhouette; black."""
    pixels = pixel_centres(cams.height, cams.width).expand(len(cams), -1, -1, -1)
    z = depth_along(cams, pixels)[:, None]
    hit = z.isfinite()
    depth = torch.where(hit, z, torch.zeros_like(z)).float()
    return Render(rgb=torch.zeros(len(cams), 3, cams.height, cams.width), depth=depth, alpha=hit.float())


def surface(points: int, seed: int = 0) -> Scene:
    """Points uniform by area on the outside of the union."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(0, 3, dtype=torch.float64)
    while len(found) < points:
        which = torch.multinomial(RADII**2, points, replacement=True, generator=generator)
        direction = torch.nn.functional.normalize(
            torch.randn(points, 3, generator=generator, dtype=torch.float64), dim=-1
        )
        x = CENTRES[which] + RADII[which, None] * direction
        inside = ((x[:, None] - CENTRES).norm(dim=-1) < RADII - 1e-9).any(1)
        found = torch.cat([found, x[~inside]])
    return Scene(found[:points].float(), torch.arange(points))
