"""Pure functions on cameras, points and maps: orbit, project, splat, unproject, warp, occlusion.

All are differentiable in points and depth, float32 or float64, on any device.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.types import Cameras, Geometry, Render, Scene

NEAR = 1e-3  # world units: what is closer to a camera plane than this cannot be seen


def orbit(
    azimuth: Float[Tensor, " V"],
    elevation: Float[Tensor, " V"],
    distance: Float[Tensor, " V"],
    fov: Float[Tensor, " V"],
    width: int,
    height: int,
    group: Int[Tensor, " V"] | None = None,
) -> Cameras:
    """Cameras on a sphere that look at the origin, with z up.

    Args:
        azimuth: degrees, 0 = front (+x), counter-clockwise seen from above.
        elevation: degrees above the horizon, |elevation| < 90.
        distance: world units from the origin.
        fov: vertical field of view, degrees.
        width: pixels.
        height: pixels.
        group: the group of each view, ascending; by default each view is a group of its own.

    Returns:
        V cameras.

    Example:
        >>> cameras = orbit(torch.tensor([0.0, 5.0]), torch.zeros(2), torch.full((2,), 2.2), torch.full((2,), 40.0), 64,
        64)
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


def turned_to(cameras: Cameras, azimuth: Float[Tensor, " V"]) -> Cameras:
    """The same cameras at other azimuths (degrees)."""
    fov = 2 * torch.rad2deg(torch.atan(cameras.height / 2 / cameras.Ks[:, 1, 1]))
    return orbit(azimuth, cameras.elevation, cameras.distance, fov, cameras.width, cameras.height, cameras.group)


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


def rotation_matrices(quats: Float[Tensor, "N 4"]) -> Float[Tensor, "N 3 3"]:
    """Rotations of wxyz quaternions, which are normalised first; zero quaternions give the identity."""
    w, x, y, z = F.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(-1, 3, 3)


def project(points: Float[Tensor, "N 3"], cameras: Cameras) -> tuple[Float[Tensor, "V N 2"], Float[Tensor, "V N"]]:
    """Pixel coordinates and camera-space z of world points in every view.

    Points at or behind the camera plane (z <= 0) get meaningless coordinates; test z first.
    """
    in_camera = torch.einsum("vij,nj->vni", cameras.viewmats[:, :3, :3], points) + cameras.viewmats[:, None, :3, 3]
    z = in_camera[..., 2]
    image = torch.einsum("vij,vnj->vni", cameras.Ks, in_camera)
    return image[..., :2] / z[..., None], z


def splat(
    xy: Float[Tensor, "V N 2"], z: Float[Tensor, "V N"], size: tuple[int, int], radius: float
) -> Float[Tensor, "V H W"]:
    """The z-buffer of discs of `radius` pixels, as 1 / z; 0 where there is none.

    A pixel belongs to a disc if its centre does; the pixel that holds a point always does.
    """
    height, width = size
    inverse = torch.where(z > NEAR, 1 / z, 0.0)
    within, outside = xy - xy.floor(), height * width
    column, row = xy.floor().unbind(-1)
    buffer = z.new_zeros(len(z), height * width + 1)  # the last takes what is outside
    for dx, dy in _disc(radius):
        x, y = column + dx, row + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (z > NEAR)
        if dx or dy:
            u, v = within.unbind(-1)
            inside &= (dx + 0.5 - u) ** 2 + (dy + 0.5 - v) ** 2 <= radius**2
        buffer.scatter_reduce_(1, torch.where(inside, y * width + x, outside).long(), inverse, "amax")
    return buffer[:, :-1].unflatten(1, size)


def _disc(radius: float) -> list[tuple[int, int]]:
    """From the pixel that holds a disc's centre to all that the disc can reach: 0.5 pixels from its edge, or more."""
    far = range(-math.floor(radius + 0.5), math.floor(radius + 0.5) + 1)
    reach = [max(0.0, abs(d) - 0.5) for d in far]  # to the pixel's centre along one axis, from the nearest edge
    pairs = [(dx, dy) for dx, u in zip(far, reach, strict=True) for dy, v in zip(far, reach, strict=True)]
    nearest = [u * u + v * v for u in reach for v in reach]
    return [pair for pair, square in zip(pairs, nearest, strict=True) if square <= radius**2] or [(0, 0)]


def unproject(depth: Float[Tensor, "V 1 H W"], cameras: Cameras) -> Float[Tensor, "V H W 3"]:
    """The world point at camera-space z `depth` through every pixel centre."""
    _, _, height, width = depth.shape
    pixels = F.pad(pixel_centres(height, width, depth.dtype, depth.device), (0, 1), value=1.0).view(-1, 3)
    back = cameras.viewmats[:, :3, :3].mT
    rays = pixels @ (back @ torch.linalg.inv_ex(cameras.Ks).inverse).mT
    points = rays * depth.flatten(2).mT - (back @ cameras.viewmats[:, :3, 3:]).mT
    return points.unflatten(1, (height, width))


def correspond(
    depth: Float[Tensor, "P 1 H W"], source: Cameras, target: Cameras
) -> tuple[Float[Tensor, "P H W 2"], Float[Tensor, "P H W"]]:
    """Where each pixel of `source` falls in `target`, and at which camera-space z (eq. 11 of the paper, corrected).

    p_ij ~ K_j (d_i(p) R_ij K_i^-1 p + t_ij), then divided by its third component; the printed equation lacks the
    translation and the division.

    Args:
        depth: camera-space z of the P source views, at the resolution of both cameras.
        source: P cameras.
        target: P cameras, one for each source.

    Returns:
        Pixel coordinates (x, y) in the target and z there, both differentiable in depth. For z <= NEAR the coordinates
        have no meaning.
    """
    rays, shift = relative_projection(source, target)
    height, width = depth.shape[-2:]
    pixels = F.pad(pixel_centres(height, width, depth.dtype, depth.device), (0, 1), value=1.0).view(-1, 3)
    image = (rays @ pixels.T) * depth.flatten(2) + shift[..., None]
    x, y, z = image.unflatten(2, (height, width)).unbind(1)
    safe = torch.where(z > NEAR, z, torch.ones_like(z))
    return torch.stack([x / safe, y / safe], -1), z


@torch.no_grad()
def relative_projection(source: Cameras, target: Cameras) -> tuple[Float[Tensor, "P 3 3"], Float[Tensor, "P 3"]]:
    """K_j R_ij K_i^-1 and K_j t_ij of eq. 11, with R_ij = R_j R_i^T and t_ij = t_j - R_ij t_i; detached."""
    onward = target.Ks @ target.viewmats[:, :3]  # K_j [R_j t_j], a world point to pixels
    back = source.viewmats[:, :3, :3].mT
    rays = onward[..., :3] @ back
    shift = onward[..., 3:] - rays @ source.viewmats[:, :3, 3:]
    return rays @ torch.linalg.inv_ex(source.Ks).inverse, shift[..., 0]


Sampler = Literal["nearest", "straight_through", "bilinear"]


def sample(maps: Float[Tensor, "P C H W"], coords: Float[Tensor, "P h w 2"], mode: Sampler) -> Float[Tensor, "P C h w"]:
    """Values of `maps` at pixel coordinates (eq. 12 of the paper).

    Args:
        maps: P maps.
        coords: (x, y) in pixels, with pixel centres at +0.5.
        mode: "nearest", maps[floor(coords)], has no derivative with respect to coords; "straight_through" has the same
            values bit for bit and the derivative of bilinear; "bilinear" has bilinear values and derivative.

    Returns:
        The values; 0 outside the map.
    """
    if mode == "nearest":
        return _nearest(maps, coords)
    size = coords.new_tensor([maps.shape[-1], maps.shape[-2]])
    smooth = F.grid_sample(maps, 2 * coords / size - 1, mode="bilinear", align_corners=False)
    return smooth if mode == "bilinear" else _nearest(maps, coords) + (smooth - smooth.detach())


def _nearest(maps: Float[Tensor, "P C H W"], coords: Float[Tensor, "P h w 2"]) -> Float[Tensor, "P C h w"]:
    height, width = maps.shape[-2:]
    inside = in_bounds(coords, height, width)
    x, y = coords.detach().floor().long().unbind(-1)
    index = (y * width + x).where(inside, 0).flatten(1)
    values = maps.flatten(2).gather(2, index[:, None].expand(-1, maps.shape[1], -1))
    return values.unflatten(2, coords.shape[1:3]) * inside[:, None]


def in_bounds(coords: Float[Tensor, "*P 2"], height: int, width: int) -> Bool[Tensor, "*P"]:
    x, y = coords.unbind(-1)
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)


@torch.no_grad()
def co_visible(
    coords: Float[Tensor, "P h w 2"],
    z: Float[Tensor, "P h w"],
    alpha: Float[Tensor, "P 1 h w"],
    target_depth: Float[Tensor, "P 1 h w"],
    target_alpha: Float[Tensor, "P 1 h w"],
    tolerance: float,
) -> Bool[Tensor, "P h w"]:
    """Self-occlusion mask o of eq. 13: which source pixels the target camera sees too.

    Args:
        coords: pixels of the target, from `correspond`.
        z: camera-space z in the target, from `correspond`.
        alpha: of the source views.
        target_depth: camera-space z rendered in the target.
        target_alpha: of the target views.
        tolerance: world units; 2.5 to 3 pixel footprints work well.

    Returns:
        True where coords lie within the target, in front of its camera, on the object in both views (alpha > 0.5), and
        |z - target_depth| < tolerance.
    """
    seen = sample(torch.cat([target_depth, target_alpha], 1), coords, "nearest")
    same_surface = (z - seen[:, 0]).abs() < tolerance
    inside = in_bounds(coords, *alpha.shape[-2:])
    return inside & (z > NEAR) & (alpha[:, 0] > 0.5) & (seen[:, 1] > 0.5) & same_surface


def resize_depth(
    depth: Float[Tensor, "V 1 H W"], alpha: Float[Tensor, "V 1 H W"], size: tuple[int, int]
) -> tuple[Float[Tensor, "V 1 h w"], Float[Tensor, "V 1 h w"]]:
    """Depth and alpha at another resolution: alpha by area, depth by area weighted with alpha (0 where nothing is)."""
    if tuple(depth.shape[-2:]) == size:
        return depth, alpha
    small = F.interpolate(alpha, size, mode="area")
    weighted = F.interpolate(depth * alpha, size, mode="area")
    return weighted / small.clamp_min(1e-8), small


def geometry_at(scene: Scene, render: Render, cameras: Cameras, height: int, width: int) -> Geometry:
    """Scene, cameras and rendered depth at the size of the latents, h x w pixels.

    depth keeps the graph of the rendered depth; alpha, which weights its mean, is detached: a loss on the warped depth
    moves the surface and does not thin it.
    """
    depth, alpha = resize_depth(render.depth, render.alpha.detach(), (height, width))
    return Geometry(scene, cameras.resized(width, height), depth, alpha, render)
