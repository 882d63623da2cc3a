"""A scene seen from all around, for meshes: where its surface is seen, and in which colours."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from gsd.geometry import orbit, project, sample, unproject
from gsd.types import Cameras, Render

ELEVATIONS = (-30.0, 0.0, 20.0, 45.0, 70.0)  # degrees
AZIMUTHS = 24
PIXELS = 384
SOLID = 0.5  # alpha above which a pixel shows the object

View = tuple[Cameras, Render]  # of one camera


def around(device: torch.device) -> list[Cameras]:
    """One camera at a time, all around, each seeing the whole unit ball."""
    grid = torch.cartesian_prod(torch.tensor(ELEVATIONS), torch.arange(AZIMUTHS) * (360.0 / AZIMUTHS))
    full = torch.ones(len(grid))
    cameras = orbit(grid[:, 1], grid[:, 0], 3.0 * full, 40.0 * full, PIXELS, PIXELS).to(device)
    return [cameras[i] for i in torch.arange(len(grid)).split(1)]


def seen_points(view: View) -> Float[Tensor, "N 3"]:
    """The points of the surface that a view sees."""
    cameras, show = view
    return unproject(show.depth, cameras)[show.alpha[:, 0] > SOLID]


def colours(
    views: list[View], vertices: Float[Tensor, "N 3"], outward: Float[Tensor, "N 3"], tolerance: float
) -> Float[Tensor, "N 3"]:
    """The mean of what the views that see a vertex show there; frontal and opaque views count most.

    A vertex that no view sees takes the colour of the nearest one that some view sees.
    """
    total, weight = torch.zeros_like(vertices), vertices.new_zeros(len(vertices))
    for cameras, show in views:
        coords, z = project(vertices, cameras)
        seen = sample(torch.cat([show.rgb, show.depth, show.alpha], 1), coords[:, None], "bilinear")[0, :, 0]
        backward = -cameras.viewmats[0, 2, :3]  # towards the camera
        frontal = (outward @ backward).clamp_min(0)
        visible: Bool[Tensor, " N"] = (z[0] - seen[3]).abs() < tolerance
        share = visible * frontal.square() * seen[4].clamp(0, 1) ** 4
        total += share[:, None] * seen[:3].T
        weight += share
    rgb, known = (total / weight.clamp_min(1e-8)[:, None]).cpu(), (weight > 1e-4).cpu()
    if not known.all() and known.any():
        nearest = cKDTree(vertices.cpu()[known].numpy()).query(vertices.cpu()[~known].numpy(), workers=1)[1]
        rgb[~known] = rgb[known][torch.from_numpy(nearest)]
    return rgb
