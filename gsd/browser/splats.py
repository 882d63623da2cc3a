"""A scene as the Gaussians that viser draws: its own, or small ones on the surface of a radiance field."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gsd.geometry import rotation_matrices, turntable, unproject
from gsd.protocols import OfGaussians, Representation
from gsd.rasterizer.ply import SH_C0, opaque
from gsd.types import Cameras, Render

Drawn = dict[str, np.ndarray]  # centers [N 3], covariances [N 3 3], rgbs [N 3], opacities [N 1]
Seen = tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"], Float[Tensor, " N"]]  # position, rgb, alpha

RINGS = {-30.0: 4, 10.0: 8, 45.0: 6, 80.0: 2}  # elevation in degrees -> cameras around a field
DISTANCE, FOV = 2.4, 40.0  # of these cameras
AT_ONCE, STRIDE = 3, 7  # of the 20 cameras so many are rendered at once, and each so many places after the last one
SOLID = 0.5  # alpha above which a pixel shows the surface
WIDTH = 0.6  # standard deviation of a Gaussian on the surface, in pixels
FAINT = 0.02  # opacity below which a Gaussian is not drawn


class Drawing:
    """Makes a scene's Gaussians, as detached copies on the CPU.

    A field is rendered `pixels` wide by cameras all around it, unless it is wanted whole by a few of them at a time:
    what the others saw of it earlier is kept.
    """

    def __init__(self, pixels: int, device: torch.device) -> None:
        rings = [turntable(n, pixels, FOV, DISTANCE, elevation).to(device) for elevation, n in RINGS.items()]
        self.cameras = [ring[k : k + 1] for ring in rings for k in range(len(ring))]
        self.cell = float(DISTANCE / rings[0].Ks[0, 0, 0])  # width of a pixel, world units
        self.seen: dict[int, Seen] = {}  # camera -> what it saw; the latest last
        self.next = 0

    @torch.no_grad()
    def __call__(self, scene: Representation, whole: bool) -> Drawn:
        if isinstance(scene, OfGaussians):
            return _of_gaussians(scene)
        for _ in range(len(self.cameras) if whole else AT_ONCE):
            cameras = self.cameras[self.next]
            self.seen.pop(self.next, None)
            self.seen[self.next] = _surface(scene.render(cameras), cameras)
            self.next = (self.next + STRIDE) % len(self.cameras)
        return self._of_surface()

    def _of_surface(self) -> Drawn:
        """A round Gaussian, as it was seen last, in each cubic cell as wide as a pixel."""
        xyz, rgb, alpha = (torch.cat(each) for each in zip(*reversed(self.seen.values()), strict=True))
        chosen = np.unique(_cells(xyz, self.cell), return_index=True)[1]
        covariances = (WIDTH * self.cell) ** 2 * torch.eye(3).expand(len(chosen), 3, 3)
        return _arrays(xyz[chosen], covariances, rgb[chosen], alpha[chosen])


def _of_gaussians(scene: OfGaussians) -> Drawn:
    """Colours that depend on the direction are drawn as their mean over all directions."""
    splats = opaque(scene.splats(), FAINT)
    axes = rotation_matrices(splats.quats) * splats.log_scales.exp()[:, None, :]
    rgb = (0.5 + SH_C0 * splats.sh[:, 0]).clamp(0, 1)
    return _arrays(splats.means, axes @ axes.mT, rgb, splats.opacity_logits.sigmoid())


def _surface(show: Render, cameras: Cameras) -> Seen:
    """The pixels that show the surface, on the CPU, without what lies behind it."""
    seen = show.alpha[:, 0] > SOLID
    alpha, rgb = (image.permute(0, 2, 3, 1)[seen] for image in (show.alpha, show.rgb))
    if show.background is not None:
        behind = show.background[:, None, None].expand(*seen.shape, 3)[seen]
        rgb = (rgb - (1 - alpha) * behind) / alpha
    return unproject(show.depth, cameras)[seen].cpu(), rgb.clamp(0, 1).cpu(), alpha[:, 0].cpu()


def _cells(xyz: Float[Tensor, "N 3"], cell: float) -> Int64[np.ndarray, " N"]:
    """A number for the cubic cell that each point lies in."""
    x, y, z = (xyz / cell).round().long().numpy().T
    return (x * 2**20 + y) * 2**20 + z


def _arrays(
    centers: Float[Tensor, "N 3"],
    covariances: Float[Tensor, "N 3 3"],
    rgb: Float[Tensor, "N 3"],
    opacity: Float[Tensor, " N"],
) -> Drawn:
    values = {"centers": centers, "covariances": covariances, "rgbs": rgb, "opacities": opacity[:, None]}
    return {name: value.detach().cpu().numpy().copy() for name, value in values.items()}
