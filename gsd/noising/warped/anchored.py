"""Noise maps as linear functions of independent normal values, and the noisings that warp an anchor's noise."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.backend.device import compiled
from gsd.noising.parts.correlated import Correlated
from gsd.noising.points.counter import normal
from gsd.noising.warped import warp_kernels as kernels
from gsd.noising.warped.warp import Links, Warp
from gsd.random import Stream
from gsd.ranges import Fraction, Length
from gsd.types import Geometry


@runtime_checkable
class Matrix(Protocol):
    """A matrix that takes values [columns, C] to V * h * w pixels, numbered by view, row and column."""

    @property
    def shape(self) -> tuple[int, int]: ...
    def __matmul__(self, x: Float[Tensor, "M C"]) -> Float[Tensor, "R C"]: ...
    def coo(self) -> Float[Tensor, "R M"]:
        """The matrix as a sparse float64 tensor."""


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix with weight[e] at (row[e], column[e])."""

    row: Int[Tensor, " E"]
    column: Int[Tensor, " E"]
    weight: Float[Tensor, " E"]  # float64
    shape: tuple[int, int]

    def __matmul__(self, x: Float[Tensor, "M C"]) -> Float[Tensor, "R C"]:
        if not compiled(x):
            return self.matmul_torch(x)
        out = torch.zeros(self.shape[0], x.shape[1])
        kernels.add_rows(self.row.numpy(), self.column.numpy(), self.weight.numpy(), x.numpy(), out.numpy())
        return out

    def matmul_torch(self, x: Float[Tensor, "M C"]) -> Float[Tensor, "R C"]:
        # index_put_, unlike index_add_, adds in the same order every time on CUDA
        out = x.new_zeros(self.shape[0], x.shape[1])
        return out.index_put_((self.row,), self.weight.to(x.dtype)[:, None] * x[self.column], accumulate=True)

    @property
    def T(self) -> Sparse:
        return Sparse(self.column, self.row, self.weight, self.shape[::-1])

    def coo(self) -> Float[Tensor, "R M"]:
        some = self.weight != 0
        entries, weights = torch.stack([self.row, self.column])[:, some].cpu(), self.weight[some].cpu()
        return torch.sparse_coo_tensor(entries, weights, self.shape, check_invariants=True).coalesce()


@dataclass(frozen=True)
class Split:
    """Each anchor value is split into independent parts, one per pixel that takes from it, and a pixel sums its parts.

    With S = `scatter` [parts, values], whose columns are orthonormal, the parts of the values x are
    S x + (I - S S^T) z for fresh z: independent N(0, 1), and S^T times the parts is x again. For equal entries this is
    conditional upsampling (Chang et al. 2024, eq. 7), for unequal ones the increments of a Brownian bridge (Deng et al.
    2025). `gather` [pixels, parts] has orthonormal rows. The operand stacks the anchors' values and one z per part.
    """

    gather: Sparse
    scatter: Sparse
    origin: Int[Tensor, " VP"]  # which anchor's value a column of `scatter` is
    anchors: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.gather.shape[0], self.anchors + self.gather.shape[1]

    def __matmul__(self, x: Float[Tensor, "M C"]) -> Float[Tensor, "R C"]:
        anchors, z = x.split([self.anchors, self.gather.shape[1]])
        return self.gather @ (z + self.scatter @ (anchors[self.origin] - self.scatter.T @ z))

    def coo(self) -> Float[Tensor, "R M"]:
        s = self.scatter
        from_anchors = Sparse(s.row, self.origin[s.column], s.weight, (s.shape[0], self.anchors))
        gather, scatter = self.gather.coo(), s.coo()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the product uses torch's CSR format, which is in beta
            return torch.cat([gather @ from_anchors.coo(), gather - (gather @ scatter) @ scatter.T], 1).coalesce()


class Anchored(Correlated):
    """The first view of each group, the anchor, has fresh noise, which is warped into the other views.

    A pixel is projected into the anchor by its rendered depth, and takes noise only from pixels that show the same
    surface: z within `depth_tolerance` (world units). The background, a sphere at infinity, counts as a surface. Pixels
    that the anchor does not see get fresh noise. Geometry alone decides, so maps are linear in independent values.
    """

    def __init__(self, depth_tolerance: Length = 0.1, sqrt_beta: Fraction = 1.0) -> None:
        super().__init__(sqrt_beta)
        self.depth_tolerance = depth_tolerance

    @abstractmethod
    def matrix(self, warp: Warp) -> Matrix:
        """The matrix from independent N(0, 1) values to V * h * w pixels."""

    def maps(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        views, _, height, width = geometry.depth.shape
        matrix = self.matrix(Warp(geometry, self.depth_tolerance))
        values = normal(rng.key(), torch.arange(matrix.shape[1], device=geometry.depth.device), channels)
        return (matrix @ values).view(views, height, width, channels).permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def operator(self, geometry: Geometry, rng: Stream) -> Float[Tensor, "P M"]:
        return self.matrix(Warp(geometry, self.depth_tolerance)).coo()


def copied(links: Links) -> Sparse:
    """Each pixel is the weighted mean of its links' values; a pixel without links takes a fresh value.

    Not white noise: a value linked to two pixels appears in both, and means have a smaller variance.
    """
    pixels = len(links.origin)
    total = _sums(links.weight, links.target, pixels)
    each = torch.arange(pixels, device=total.device)
    return Sparse(
        torch.cat([links.target, each]),
        torch.cat([links.origin[links.source], links.anchors + each]),
        torch.cat([links.weight / total[links.target].where(links.weight > 0, 1.0), (total == 0).to(total)]),
        (pixels, links.anchors + pixels),
    )


def split(links: Links) -> Split:
    """Each value is split among the pixels of a view that link to it, in proportion to their weights."""
    pixels, parts = len(links.origin), len(links.source)
    linked = links.weight > 0
    amplitude = (links.weight / _sums(links.weight, links.source, pixels)[links.source].where(linked, 1.0)).sqrt()
    area = _sums(amplitude**2, links.target, pixels)
    part = torch.arange(parts + pixels, device=area.device)
    return Split(
        gather=Sparse(
            torch.cat([links.target, part[:pixels]]),
            part,
            torch.cat([amplitude / area[links.target].where(linked, 1.0).sqrt(), (area == 0).to(area)]),
            (pixels, len(part)),
        ),
        scatter=Sparse(part[:parts], links.source, amplitude, (len(part), pixels)),
        origin=links.origin,
        anchors=links.anchors,
    )


def _sums(values: Float[Tensor, " E"], index: Int[Tensor, " E"], size: int) -> Float[Tensor, " {size}"]:
    return values.new_zeros(size).index_put_((index,), values, accumulate=True)
