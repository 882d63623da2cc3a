"""The analytic scene that the noise thresholds refer to: four spheres that hide each other, with exact depth."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gsd.geometry import in_bounds, orbit, pixel_centres, relative_projection
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


def visible_in_both(cams: Cameras) -> tuple[Float[Tensor, "1 h w 2"], Bool[Tensor, "h w"]]:
    """Where the pixel centres of the first of two cameras fall in the second, and the pixels that it sees entirely.

    Those are the ones whose centre and corners lie on the object and are hidden from neither camera; exact.
    """
    centres = pixel_centres(cams.height, cams.width, torch.float64)
    corners = [centres + centres.new_tensor(shift) for shift in itertools.product((-0.5, 0.5), repeat=2)]
    carried = [_carried(cams, pixels) for pixels in (centres, *corners)]
    return carried[0][0][None].float(), torch.stack([seen for _, seen in carried]).all(0)


def _carried(cams: Cameras, pixels: Float[Tensor, "h w 2"]) -> tuple[Float[Tensor, "h w 2"], Bool[Tensor, "h w"]]:
    """What the first camera sees through pixel coordinates, in those of the second, and whether that sees it too."""
    rays, shift = relative_projection(cams[:1], cams[1:])
    z = depth_along(cams[:1], pixels[None])[0]
    hit = z.isfinite()
    homogeneous = torch.cat([pixels, torch.ones_like(z)[..., None]], -1) * z.where(hit, 1.0)[..., None]
    image = homogeneous @ rays[0].double().T + shift[0].double()
    coords = image[..., :2] / image[..., 2:]
    agrees = (image[..., 2] - depth_along(cams[1:], coords[None])[0]).abs() < 1e-4  # cameras are float32
    return coords, hit & agrees & in_bounds(coords, cams.height, cams.width)


def surface(points: int, seed: int = 0) -> Scene:
    """Points uniform by area on the outside of the union: flat discs in its tangent planes.

    A disc's standard deviation is half the mean spacing of neighbours, a tenth of that across the surface.
    """
    generator = torch.Generator().manual_seed(seed)
    found, normals = torch.zeros(2, 0, 3, dtype=torch.float64)
    while len(found) < points:
        which = torch.multinomial(RADII**2, points, replacement=True, generator=generator)
        direction = torch.nn.functional.normalize(
            torch.randn(points, 3, generator=generator, dtype=torch.float64), dim=-1
        )
        x = CENTRES[which] + RADII[which, None] * direction
        inside = ((x[:, None] - CENTRES).norm(dim=-1) < RADII - 1e-9).any(1)
        found, normals = torch.cat([found, x[~inside]]), torch.cat([normals, direction[~inside]])
    sigma = 0.5 * math.sqrt(area() / points)
    scales = torch.tensor([sigma, sigma, 0.1 * sigma]).expand(points, 3).clone()
    return Scene(found[:points].float(), torch.arange(points), scales, _towards(normals[:points]).float())


def area() -> float:
    """Of the outside of the union: the spheres less the caps that the first one and each of the others hide."""
    distance, R, r = (CENTRES[1:] - CENTRES[0]).norm(dim=-1), RADII[0], RADII[1:]
    plane = (distance**2 + R**2 - r**2) / (2 * distance)  # of the circle they share, from the first centre
    caps = R * (R - plane) + r * (r - (distance - plane))
    return float(4 * math.pi * (RADII**2).sum() - 2 * math.pi * caps.sum())


def _towards(normals: Float[Tensor, "K 3"]) -> Float[Tensor, "K 4"]:
    """Quaternions (wxyz) that turn the local z axis to unit normals the shortest way."""
    x, y, z = normals.unbind(-1)
    quats = torch.stack([1 + z, -y, x, torch.zeros_like(z)], -1)
    quats[z < -1 + 1e-9] = quats.new_tensor([0.0, 1.0, 0.0, 0.0])
    return torch.nn.functional.normalize(quats, dim=-1)
