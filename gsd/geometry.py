"""Pure functions on cameras, points and maps: orbit, project, unproject, warp, occlusion.

All are differentiable in points and depth, float32 or float64, on any device.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.types import Cameras


def orbit(
    azimuth: Float[Tensor, " V"],
    elevation: Float[Tensor, " V"],
    distance: Float[Tensor, " V"],
    fov: Float[Tensor, " V"],
    width: int,
    height: int,
    group: Int[Tensor, " V"] | None = None,
) -> Cameras:
    """Cameras on a sphere, looking at the origin with z up.

    azimuth, elevation and fov (vertical) in degrees, |elevation| < 90; distance in world units.
    """
    az, el = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    backward = torch.stack([el.cos() * az.cos(), el.cos() * az.sin(), el.sin()], -1)  # origin -> camera
    right = torch.stack([-az.sin(), az.cos(), torch.zeros_like(az)], -1)
    down = torch.linalg.cross(right, backward)
    viewmats = torch.eye(4, dtype=az.dtype, device=az.device).repeat(len(az), 1, 1)
    viewmats[:, :3, :3] = torch.stack([right, down, -backward], 1)
    viewmats[:, 2, 3] = distance
    focal = 0.5 * height / torch.tan(torch.deg2rad(fov) / 2)
    Ks = torch.zeros(len(az), 3, 3, dtype=az.dtype, device=az.device)
    Ks[:, 0, 0] = Ks[:, 1, 1] = focal
    Ks[:, 0, 2], Ks[:, 1, 2], Ks[:, 2, 2] = width / 2, height / 2, 1.0
    group = torch.arange(len(az), device=az.device) if group is None else group
    return Cameras(viewmats, Ks, width, height, azimuth, elevation, distance, group)


def turntable(
    views: int, resolution: int, fov: float = 40.0, distance: float = 2.2, elevation: float = 15.0, start: float = 0.0
) -> Cameras:
    """`views` cameras equally spaced in azimuth from `start` degrees, one full turn."""
    azimuth = start + torch.arange(views) * (360.0 / views)
    full = torch.ones(views)
    return orbit(azimuth, elevation * full, distance * full, fov * full, resolution, resolution)


def angle_between(a: Float[Tensor, "*n"], b: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Signed difference a - b of two azimuths, in (-180, 180] degrees."""
    return 180 - (180 - (a - b)) % 360


def pixel_centres(
    height: int, width: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Float[Tensor, "H W 2"]:
    """(x, y) of every pixel centre, at +0.5."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=dtype, device=device) + 0.5,
        torch.arange(width, dtype=dtype, device=device) + 0.5,
        indexing="ij",
    )
    return torch.stack([x, y], -1)


def project(points: Float[Tensor, "N 3"], cameras: Cameras) -> tuple[Float[Tensor, "V N 2"], Float[Tensor, "V N"]]:
    """Pixel coordinates and camera-space z of world points in every view.

    Points at or behind the camera plane (z <= 0) get meaningless coordinates; test z first.
    """
    in_camera = torch.einsum("vij,nj->vni", cameras.viewmats[:, :3, :3], points) + cameras.viewmats[:, None, :3, 3]
    z = in_camera[..., 2]
    image = torch.einsum("vij,vnj->vni", cameras.Ks, in_camera)
    return image[..., :2] / z[..., None], z


def unproject(
    depth: Float[Tensor, "V 1 H W"], cameras: Cameras, world: bool = True
) -> Float[Tensor, "V H W 3"]:
    """The 3D point at camera-space z `depth` through every pixel centre, in world (default) or camera coordinates."""
    _, _, height, width = depth.shape
    pixels = pixel_centres(height, width, depth.dtype, depth.device)
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    rays = torch.einsum("vij,hwj->vhwi", torch.linalg.inv(cameras.Ks), homogeneous)
    points = rays * depth[:, 0, :, :, None]
    if not world:
        return points
    rotation, translation = cameras.viewmats[:, :3, :3], cameras.viewmats[:, :3, 3]
    return torch.einsum("vji,vhwj->vhwi", rotation, points - translation[:, None, None])
