"""Density and colour of points in space: a hash grid, two small networks and the blob that everything starts from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Interval
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gsd.backend.triton import launch, on_triton
from gsd.field.composite import sum_rays
from gsd.field.hashgrid import HashGrid, make_levels
from gsd.field.march import Rays, Samples
from gsd.field.mlp import MLP
from gsd.ranges import Few, Length

Bound = Annotated[float, Interval(ge=0.01, le=1000)]
Levels = Annotated[int, Interval(ge=1, le=32)]
Log2Table = Annotated[int, Interval(ge=4, le=24)]
BaseResolution = Annotated[int, Interval(ge=2, le=1024)]
Growth = Annotated[float, Interval(ge=1, le=4)]
Layers = Annotated[int, Interval(ge=1, le=16)]
BlobDensity = Annotated[float, Interval(ge=-1000, le=1000)]
Normals = Literal["none", "analytic"]
BLOBS = ("none", "magic3d", "dreamfusion")  # as the Triton kernels number them
STEEPEST = 15.0  # trunc_exp's derivative is exp of no more than this (Mueller et al.)


class Shape(BaseModel):
    """What a field is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bound: Bound
    levels: Levels
    features: Literal[2, 4, 8]
    log2_table: Log2Table
    base_resolution: BaseResolution
    growth: Growth
    hidden: Few
    layers: Layers
    activation: Literal["softplus", "trunc_exp"]
    blob: Literal["magic3d", "dreamfusion", "none"]
    blob_density: BlobDensity
    blob_radius: Length


class RadianceField(nn.Module):
    """Points [3, M] (world units, within [-bound, bound]^3) to density [M] (per world unit) and rgb [3, M].

    density = activation(network(features) + blob(r)), rgb = sigmoid(network(features)), the same from everywhere.
    The blob at distance r from the origin: magic3d d (1 - r / R), dreamfusion d exp(-r^2 / 2 R^2), d = blob_density and
    R = blob_radius. `active_levels` is the number of levels of the grid in use.
    """

    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape, self.active_levels = shape, float(shape.levels)
        levels = make_levels(shape.levels, shape.log2_table, shape.base_resolution, shape.growth)
        self.grid = HashGrid(levels, shape.features, generator)
        self.density_net = MLP(self.grid.width, shape.hidden, shape.layers, 1, generator)
        self.color_net = MLP(self.grid.width, shape.hidden, shape.layers, 3, generator)

    def encode(self, points: Float[Tensor, "3 M"], known: Float[Tensor, "K M"] | None = None) -> Float[Tensor, "K M"]:
        """Features of points; `known` are those of an earlier call without graph."""
        return self.grid(self._unit(points), self.active_levels, known)

    def density(self, points: Float[Tensor, "3 M"], features: Float[Tensor, "K M"]) -> Float[Tensor, " M"]:
        raw = self.density_net(features).squeeze(0)
        if on_triton(raw):
            return _Activate.apply(raw, points, self.shape)
        raw = raw + self.blob(points)
        return F.softplus(raw) if self.shape.activation == "softplus" else _TruncExp.apply(raw)

    def color(self, features: Float[Tensor, "K M"]) -> Float[Tensor, "3 M"]:
        return self.color_net(features).sigmoid()

    def blob(self, points: Float[Tensor, "3 M"]) -> Float[Tensor, " M"]:
        s = self.shape
        if s.blob == "none":
            return 0 * points[0]
        squared = points.square().sum(0)
        if s.blob == "magic3d":
            return s.blob_density * (1 - squared.clamp_min(1e-12).sqrt() / s.blob_radius)
        return s.blob_density * torch.exp(squared / (-2 * s.blob_radius**2))

    def normals(self, points: Float[Tensor, "3 M"], known: Float[Tensor, "K M"] | None = None) -> Float[Tensor, "3 M"]:
        """Unit vectors against the gradient of the density, differentiable; 0 where the density is flat.

        `known` are the points' features. The gradient is that of the activation's argument. The activation rises
        everywhere, so the direction is the same, and the argument never saturates. It is linear in the hash grid's
        table, and to the features it passes no gradient, since the network is linear between its kinks.
        """
        slope = self._slope(points, self.encode(points) if known is None else known)
        return -slope / slope.square().sum(0).clamp_min(1e-12).sqrt()

    def orientation(
        self, points: Float[Tensor, "3 M"], features: Float[Tensor, "K M"], weight: Float[Tensor, " M"], rays: Rays,
        samples: Samples,
    ) -> Float[Tensor, " R"]:  # fmt: skip
        """The sum over the samples of each ray of weight max(normal . direction, 0)^2; gradients as of `normals`."""
        ray = samples.rays()
        if on_triton(points):
            along = self._along(points, features)
            return _Orient.apply(along, points, weight, rays.directions, ray, samples.offsets, self.shape)
        towards = (self.normals(points, features) * rays.directions[ray].T).sum(0).clamp_min(0)
        return sum_rays((weight * towards.square())[None], samples, ray)[0]

    def _slope(self, points: Float[Tensor, "3 M"], features: Float[Tensor, "K M"]) -> Float[Tensor, "3 M"]:
        with torch.enable_grad():
            place = points.detach().requires_grad_()
            (blob,) = torch.autograd.grad(self.blob(place).sum(), place)
        return self._along(points, features) / (2 * self.shape.bound) + blob

    def _along(self, points: Float[Tensor, "3 M"], features: Float[Tensor, "K M"]) -> Float[Tensor, "3 M"]:
        """The slope of the network by the points of the unit cube."""
        return self.grid.slope(self._unit(points), self.active_levels, self.density_net.slope(features))

    def _unit(self, points: Float[Tensor, "3 M"]) -> Float[Tensor, "3 M"]:
        return (points * (0.5 / self.shape.bound) + 0.5).clamp(0, 1)


class _TruncExp(torch.autograd.Function):
    """exp with a derivative that does not explode."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor) -> Tensor:
        ctx.save_for_backward(raw)
        return raw.exp()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (raw,) = ctx.saved_tensors
        return g * raw.clamp(max=STEEPEST).exp()


class _Activate(torch.autograd.Function):
    """The density of what the network says at points, by Triton kernels; passes no gradient to the points."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, points: Tensor, shape: Shape) -> Tensor:
        from gsd.field import density_triton

        raw, points, out = raw.detach().contiguous(), points.contiguous(), torch.empty_like(raw)
        ctx.save_for_backward(raw, points)
        ctx.blob = (shape.blob_density, shape.blob_radius)
        ctx.kind = {"BLOB": BLOBS.index(shape.blob), "SOFTPLUS": shape.activation == "softplus"}
        launch(density_triton.activate, len(raw), raw, points, out, *ctx.blob, len(raw), **ctx.kind)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor, None, None]:
        from gsd.field import density_triton

        raw, points = ctx.saved_tensors
        grad = torch.empty_like(raw)
        given = (raw, points, g_out.contiguous(), grad, *ctx.blob, STEEPEST, len(raw))
        launch(density_triton.activate_backward, len(raw), *given, **ctx.kind)
        return grad, None, None


class _Orient(torch.autograd.Function):
    """As RadianceField.orientation, from the network's slope, by Triton kernels; the weights get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, along: Tensor, points: Tensor, weight: Tensor, directions: Tensor, ray: Tensor, offsets: Tensor,
        shape: Shape,
    ) -> Tensor:  # fmt: skip
        from gsd.field import density_triton

        held = [x.detach().contiguous() for x in (along, points, weight, directions)]
        rays, count = len(offsets) - 1, len(weight)
        out = weight.new_empty(rays)
        ctx.save_for_backward(*held, ray)
        ctx.numbers, ctx.blob = (0.5 / shape.bound, shape.blob_density, shape.blob_radius), BLOBS.index(shape.blob)
        launch(density_triton.orient, rays, *held, offsets, out, *ctx.numbers, rays, count, BLOB=ctx.blob)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
        from gsd.field import density_triton

        along, *others = ctx.saved_tensors
        grad, count = torch.empty_like(along), along.shape[1]
        given = (along, *others, g_out.contiguous(), grad, *ctx.numbers, count)
        launch(density_triton.orient_backward, count, *given, BLOB=ctx.blob)
        return grad, None, None, None, None, None, None
