"""A scene whose surface and colours are known exactly, with renders of it."""

import torch

from gsd.geometry import pixel_centres
from gsd.types import Render

RADII = torch.tensor([0.5, 0.3, 0.4])
SLOPE = 0.9


def colour(xyz):
    """Red grows to the front, green to the left, blue upwards; by SLOPE per world unit."""
    return (0.5 + SLOPE * xyz).clamp(0, 1)


class Ellipsoid:
    """A soft field whose density is 10 on the surface, and exact renders of that surface, over white."""

    def __init__(self, radii=RADII, colour=colour):
        self.radii, self.colour = radii, colour

    def field(self, xyz):
        return 10 * torch.exp(20 * (1 - (xyz / self.radii).norm(dim=-1))), 1 - self.colour(xyz)  # not what shows

    def render(self, cameras):
        size, shape = cameras.width, torch.diag(self.radii**-2)
        pixels = torch.nn.functional.pad(pixel_centres(size, size), (0, 1), value=1.0).view(-1, 3)
        to_world = cameras.viewmats[0, :3, :3].T
        eye = -to_world @ cameras.viewmats[0, :3, 3]
        rays = pixels @ torch.linalg.inv(cameras.Ks[0]).T @ to_world.T
        a, b, c = ((rays @ shape) * rays).sum(-1), (rays @ shape) @ eye, eye @ shape @ eye - 1
        inside = b**2 - a * c
        z = torch.where(inside > 0, (-b - inside.clamp_min(0).sqrt()) / a, 0.0)
        alpha = (inside > 0).float()
        rgb = torch.where(alpha[:, None] > 0, self.colour(eye + z[:, None] * rays), 1.0)
        return Render(*(x.T.reshape(1, -1, size, size) for x in (rgb, z[:, None], alpha[:, None])))
