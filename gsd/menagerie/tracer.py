"""An analytic ray tracer for ellipsoids: colour, depth and coverage of every pixel without a mesh.

Shading is fixed in the world and depends on the surface normal alone (sky and ground light plus a soft key light), so
that it does not depend on the view and a radiance field can represent it.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float

from gsd.backend.jit import njit
from gsd.menagerie.ellipsoids import Ellipsoids
from gsd.types import Cameras, Render

VERSION = 1  # part of the bank's content hash: raise it whenever the same ellipsoids give different pixels

WHITE = (1.0, 1.0, 1.0)
NEAR = 1e-3  # world units: surfaces closer to the camera plane are not seen
KEY_LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])
GROUND, SKY, KEY = 0.64, 0.92, 0.28  # light on a surface facing down, facing up, and facing the key light


def trace(
    ellipsoids: Ellipsoids, cameras: Cameras, supersample: int = 2, background: tuple[float, float, float] = WHITE
) -> Render:
    """Render ellipsoids. A camera inside an ellipsoid does not see that ellipsoid.

    Args:
        ellipsoids: what to render, such as `Creature.figure`.
        cameras: V views of H x W pixels, on any device.
        supersample: each pixel averages supersample x supersample rays.
        background: rgb in [0, 1].

    Returns:
        float32 on the CPU: rgb over the background; depth, the mean camera-space z of a pixel's rays that hit, 0 if
        none does; alpha, the fraction of the rays that hit.
    """
    views, height, width = len(cameras), cameras.height, cameras.width
    viewmats = cameras.viewmats.detach().cpu().double().numpy()
    Ks = cameras.Ks.detach().cpu().double().numpy()
    out = np.empty((views, 5, height, width), np.float32)
    shapes = ellipsoids.shapes()
    for view in range(views):
        boxes = _screen_boxes(ellipsoids.centres, shapes, viewmats[view], Ks[view], width, height)
        _trace_view(
            *_in_camera(ellipsoids, viewmats[view]),
            ellipsoids.colours,
            _light_frame(viewmats[view]),
            boxes * supersample,
            Ks[view],
            supersample,
            np.array(background, np.float64),
            out[view],
        )
    pixels = torch.from_numpy(out)
    return Render(pixels[:, :3].contiguous(), pixels[:, 3:4].contiguous(), pixels[:, 4:].contiguous())


def _in_camera(
    ellipsoids: Ellipsoids, viewmat: Float[np.ndarray, "4 4"]
) -> tuple[Float[np.ndarray, "N 3 3"], Float[np.ndarray, "N 3"]]:
    """For each ellipsoid, the map from camera rays to the frame of its unit ball, and the camera in that frame."""
    rotation, translation = viewmat[:3, :3], viewmat[:3, 3]
    axes = np.einsum("ij,njk->nik", rotation, ellipsoids.rotations)
    to_unit = np.swapaxes(axes, 1, 2) / ellipsoids.radii[:, :, None]
    centres = ellipsoids.centres @ rotation.T + translation
    return np.ascontiguousarray(to_unit), np.ascontiguousarray(-np.einsum("nij,nj->ni", to_unit, centres))


def _light_frame(viewmat: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "2 3"]:
    """The world's up and the key light's direction, in camera coordinates."""
    return np.ascontiguousarray(np.stack([viewmat[:3, 2], viewmat[:3, :3] @ KEY_LIGHT]))


def _screen_boxes(
    centres: Float[np.ndarray, "N 3"],
    shapes: Float[np.ndarray, "N 3 3"],
    viewmat: Float[np.ndarray, "4 4"],
    K: Float[np.ndarray, "3 3"],
    width: int,
    height: int,
) -> np.ndarray:
    """Bounds x0, x1, y0, y1 (pixels, half open) of each ellipsoid's image, from the dual conic of its outline."""
    rotation, translation = viewmat[:3, :3], viewmat[:3, 3]
    centres = centres @ rotation.T + translation
    shapes = rotation @ shapes @ rotation.T
    conic = K @ (shapes - centres[:, :, None] * centres[:, None, :]) @ K.T
    in_front = centres[:, 2] - np.sqrt(shapes[:, 2, 2]) > NEAR
    last = np.where(in_front, conic[:, 2, 2], -1.0)
    boxes = np.empty((len(centres), 4), np.int64)
    for axis, size in ((0, width), (1, height)):
        middle = conic[:, axis, 2] / last
        half = np.sqrt(np.maximum(middle**2 - conic[:, axis, axis] / last, 0.0))
        low, high = np.floor(middle - half), np.ceil(middle + half)
        # An ellipsoid that reaches the camera plane has no bounded outline: test every pixel.
        boxes[:, 2 * axis] = np.where(in_front, np.clip(low, 0, size), 0)
        boxes[:, 2 * axis + 1] = np.where(in_front, np.clip(high, 0, size), size)
    return boxes


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def _trace_view(to_unit, origins, colours, lights, boxes, K, supersample, background, out):
    """Find every ray's nearest hit with a depth buffer, one ellipsoid at a time; then shade and average per pixel."""
    _, height, width = out.shape
    nearest = np.full((height * supersample, width * supersample), np.inf)
    hit = np.full((height * supersample, width * supersample), -1, np.int32)
    for n in range(len(origins)):
        m, o = to_unit[n], origins[n]
        c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 1.0
        for j in range(boxes[n, 2], boxes[n, 3]):
            v = ((j + 0.5) / supersample - K[1, 2]) / K[1, 1]
            for i in range(boxes[n, 0], boxes[n, 1]):
                u = ((i + 0.5) / supersample - K[0, 2] - K[0, 1] * v) / K[0, 0]
                dx = m[0, 0] * u + m[0, 1] * v + m[0, 2]
                dy = m[1, 0] * u + m[1, 1] * v + m[1, 2]
                dz = m[2, 0] * u + m[2, 1] * v + m[2, 2]
                a = dx * dx + dy * dy + dz * dz
                b = dx * o[0] + dy * o[1] + dz * o[2]
                discriminant = b * b - a * c
                if discriminant <= 0.0:
                    continue
                z = -(b + math.sqrt(discriminant)) / a
                if NEAR < z < nearest[j, i]:
                    nearest[j, i] = z
                    hit[j, i] = n
    for y in range(height):
        for x in range(width):
            _average_pixel(to_unit, origins, colours, lights, K, supersample, background, nearest, hit, y, x, out)


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def _average_pixel(to_unit, origins, colours, lights, K, supersample, background, nearest, hit, y, x, out):
    rays = supersample * supersample
    red, green, blue, depth, hits = 0.0, 0.0, 0.0, 0.0, 0
    for j in range(y * supersample, (y + 1) * supersample):
        v = ((j + 0.5) / supersample - K[1, 2]) / K[1, 1]
        for i in range(x * supersample, (x + 1) * supersample):
            n = hit[j, i]
            if n < 0:
                continue
            u = ((i + 0.5) / supersample - K[0, 2] - K[0, 1] * v) / K[0, 0]
            light = _light(to_unit[n], origins[n], lights, nearest[j, i], u, v)
            red += min(1.0, colours[n, 0] * light)
            green += min(1.0, colours[n, 1] * light)
            blue += min(1.0, colours[n, 2] * light)
            depth += nearest[j, i]
            hits += 1
    alpha = hits / rays
    out[0, y, x] = red / rays + (1.0 - alpha) * background[0]
    out[1, y, x] = green / rays + (1.0 - alpha) * background[1]
    out[2, y, x] = blue / rays + (1.0 - alpha) * background[2]
    out[3, y, x] = depth / hits if hits else 0.0
    out[4, y, x] = alpha


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def _light(m, o, lights, z, u, v):
    """Brightness of the surface at depth z along the ray (u, v, 1)."""
    px = o[0] + z * (m[0, 0] * u + m[0, 1] * v + m[0, 2])
    py = o[1] + z * (m[1, 0] * u + m[1, 1] * v + m[1, 2])
    pz = o[2] + z * (m[2, 0] * u + m[2, 1] * v + m[2, 2])
    nx = m[0, 0] * px + m[1, 0] * py + m[2, 0] * pz
    ny = m[0, 1] * px + m[1, 1] * py + m[2, 1] * pz
    nz = m[0, 2] * px + m[1, 2] * py + m[2, 2] * pz
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    up = (nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]) / length
    key = (nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2]) / length
    return GROUND + (SKY - GROUND) * 0.5 * (1.0 + up) + KEY * max(0.0, key) ** 2
