"""Which cells of space are worth sampling (Mueller et al. 2022, appendix C; nerfacc's rules)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Density = Callable[[Float[Tensor, "3 M"]], Float[Tensor, " M"]]


class Occupancy:
    """G^3 cells over [-bound, bound]^3, each with the largest optical thickness seen there of late.

    `update` evaluates one random point per cell of the ball of radius `bound`: thickness = max(decay thickness, density
    step). A cell is occupied above min(`threshold`, the mean over all cells). Tensors live on `device`.
    """

    def __init__(self, cells: int, bound: float, decay: float, threshold: float, device: torch.device) -> None:
        self.cells, self.bound, self.decay, self.threshold = cells, bound, decay, threshold
        self.thickness: Float[Tensor, " G3"] = torch.zeros(cells**3, device=device)
        self.occupied: Bool[Tensor, "G G G"]
        axis = torch.arange(cells, device=device)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flatten(1)  # [3, G^3]
        nearest = ((grid + 0.5) * (2 / cells) - 1).abs() - 1 / cells  # of a cell to the centre, per axis
        self.inside = (nearest.clamp_min(0).square().sum(0) < 1).nonzero()[:, 0]
        self.corners = grid[:, self.inside].float()
        self._judge()

    @torch.no_grad()
    def update(self, density: Density, step: float, generator: torch.Generator) -> None:
        """`density` of points in world units [3, M]; `step` is the distance between samples."""
        random = torch.rand(self.corners.shape, generator=generator).to(self.corners.device)
        points = ((self.corners + random) * (2 / self.cells) - 1) * self.bound
        self.thickness *= self.decay
        self.thickness[self.inside] = torch.maximum(self.thickness[self.inside], density(points) * step)
        self._judge()

    @torch.no_grad()
    def take(self, thickness: Float[Tensor, " G3"]) -> None:
        """Go on from the thickness of another grid."""
        self.thickness.copy_(thickness)
        self._judge()

    def _judge(self) -> None:
        limit = self.thickness.mean().clamp(max=self.threshold)
        self.occupied = (self.thickness > limit).view(self.cells, self.cells, self.cells)
