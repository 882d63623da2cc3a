"""Instant-NGP (Mueller et al. 2022) as a representation that optimises itself."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor, nn

from gsd.backend.adam import Adam
from gsd.errors import GsdError
from gsd.field.background import Environment
from gsd.field.composite import composite, weigh
from gsd.field.field import (
    BaseResolution,
    BlobDensity,
    Bound,
    Growth,
    Layers,
    Levels,
    Log2Table,
    Normals,
    RadianceField,
    Shape,
)
from gsd.field.march import Rays, lit, march, points_of, rays_of
from gsd.field.occupancy import Occupancy
from gsd.protocols import Representation
from gsd.random import Stream
from gsd.ranges import Count, Few, Fraction, Length
from gsd.representation.parts.background import Colour, behind
from gsd.schedule import Rate, Schedule, Within, at
from gsd.types import Cameras, Context, Render, Scene

CHUNK = 2**15  # rays without graph, or points on the CPU, at a time
CHUNK_ON_CUDA = 2**21  # points, whose features take 256 MiB


class InstantNGP(nn.Module, Representation):
    """A radiance field in the ball of radius `bound`, marched in steps of 2 bound / `samples` through occupied cells.

    levels, features, log2_table, base_resolution, growth: the hash grid (table 1 of the paper); `active_levels` of them
    are in use, a number or schedule (a level fades in between two whole numbers). hidden, layers: both networks.
    activation, blob, blob_density, blob_radius: see `gsd.field.field.RadianceField`.
    occupancy_*: cells a side, steps between updates, decay and threshold of `gsd.field.occupancy.Occupancy`. Samples
    that less than `termination` of the light reaches are left out.
    background: a colour, or a small network of the direction; for a fraction `random_background` of the training steps
    (None: what suits the prior), one random colour for each group of views instead.
    normals: how the orientation loss gets them; none saves the work. *_lr: learning rates of Adam, may be schedules.

    The points are those the run is conditioned on: they are the scene that noisings see, and stay where they are.
    """

    starts_at_points = False  # but as a blob
    sizes = (
        *("bound", "levels", "features", "log2_table", "base_resolution", "growth", "hidden", "layers"),
        *("activation", "blob", "blob_density", "blob_radius", "occupancy_cells"),
    )

    def __init__(
        self,
        context: Context,
        bound: Bound = 1.0,
        levels: Levels = 8,
        features: Literal[2, 4, 8] = 2,
        log2_table: Log2Table = 15,
        base_resolution: BaseResolution = 8,
        growth: Growth = 1.5,
        active_levels: Annotated[Schedule, Within(0, 32)] = 8,
        hidden: Few = 32,
        layers: Layers = 1,
        activation: Literal["softplus", "trunc_exp"] = "softplus",
        blob: Literal["magic3d", "dreamfusion", "none"] = "magic3d",
        blob_density: BlobDensity = 10.0,
        blob_radius: Length = 0.5,
        samples: Annotated[int, Interval(ge=1, le=4096)] = 64,
        occupancy_cells: Annotated[int, Interval(ge=1, le=512)] = 48,
        occupancy_every: Count = 8,
        occupancy_decay: Fraction = 0.8,
        occupancy_threshold: Annotated[float, Interval(gt=0, le=1000)] = 0.01,
        termination: Fraction = 1e-4,
        background: Colour | Literal["environment"] = "white",
        random_background: Fraction | None = None,
        normals: Normals = "none",
        grid_lr: Rate = 0.01,
        density_lr: Rate = 0.001,
        color_lr: Rate = 0.001,
        background_lr: Rate = 0.001,
    ) -> None:
        super().__init__()
        self.seed, self.device, self.steps_taken = context.seed, context.device, 0
        self.active_levels, self.termination, self.normals = active_levels, termination, normals
        if context.densifier is not None:
            raise GsdError("Only Gaussians can be densified: use densify=none with representation=instant_ngp.")
        self.background = background
        self.random_background = context.random_background if random_background is None else random_background
        self.bound, self.stride = bound, 2 * bound / samples
        generator = Stream(self.seed, "instant_ngp").generator()
        shape = Shape(
            bound=bound, levels=levels, features=features, log2_table=log2_table, base_resolution=base_resolution,
            growth=growth, hidden=hidden, layers=layers, activation=activation, blob=blob, blob_density=blob_density,
            blob_radius=blob_radius,
        )  # fmt: skip
        self.radiance = RadianceField(shape, generator).to(self.device)
        self.environment = Environment(generator).to(self.device) if background == "environment" else None
        parts: dict[str, tuple[nn.Module | None, Schedule]] = {
            "grid": (self.radiance.grid, grid_lr),
            "density": (self.radiance.density_net, density_lr),
            "color": (self.radiance.color_net, color_lr),
            "background": (self.environment, background_lr),
        }
        self.rates = {name: rate for name, (_, rate) in parts.items()}
        groups = [{"params": list(m.parameters()), "name": k, "lr": 0.0} for k, (m, _) in parts.items() if m]
        self.optimizer = Adam(groups, eps=1e-15, betas=(0.9, 0.99), fused=True)
        assert context.points is not None
        self.cloud = _as_scene(context.points.xyz.to(self.device))
        self.occupancy = Occupancy(occupancy_cells, bound, occupancy_decay, occupancy_threshold, self.device)
        self.occupancy_every, self.marched = occupancy_every, 0
        self._prepare_step()

    def render(self, cameras: Cameras) -> Render:
        """March rays through the field.

        With gradients enabled, the samples of each ray are shifted by a random part of a step; otherwise they lie in
        the middle of their steps, and rays are rendered in chunks.

        Args:
            cameras: V views of H x W pixels, on the scene's device.

        Returns:
            rgb over the background, expected camera-space z (world units, 0 where alpha is 0), alpha in [0, 1] and,
            in training with normals, the orientation penalty per pixel.
        """
        rays = rays_of(cameras, self.bound)
        rng = Stream(self.seed, "instant_ngp", self.steps_taken)
        if torch.is_grad_enabled():
            shift = torch.rand(len(rays.near), generator=rng.sub("shift").generator())
            planes = self._trace(rays, shift.to(self.device))
        else:
            chunks = [rays[i : i + CHUNK] for i in range(0, len(rays.near), CHUNK)]
            planes = torch.cat([self._trace(part, torch.full_like(part.near, 0.5)) for part in chunks], 1)
        images = planes.unflatten(1, (len(cameras), cameras.height, cameras.width)).transpose(0, 1)
        color, depth, alpha, *orientation = images.split([3, *[1] * (images.shape[1] - 3)], 1)
        background = behind(self.background, self.random_background, cameras, rng)
        if background is None:
            assert self.environment is not None
            size = (len(cameras), cameras.height, cameras.width)
            beyond = self.environment(rays.directions).unflatten(1, size).transpose(0, 1)
        else:
            beyond = background[..., None, None]
        rgb = color + (1 - alpha) * beyond
        return Render(rgb, depth, alpha, orientation[0] if orientation else None, background)

    def _trace(self, rays: Rays, shift: Float[Tensor, " R"]) -> Float[Tensor, "K R"]:
        """Rows of the image: colour times alpha (3), depth, alpha, and while training the orientation if asked for."""
        samples = march(rays, shift, self.stride, self.occupancy.occupied, self.bound)
        with torch.no_grad():
            points = points_of(rays, samples)
            features = self.radiance.encode(points)
            _, remaining = weigh(self.radiance.density(points, features) * self.stride, samples)
            samples, chosen = lit(samples, remaining, self.termination)
            points, features = points.index_select(1, chosen), features.index_select(1, chosen)
        training = torch.is_grad_enabled()
        if training:
            self.marched = len(chosen)
            features = self.radiance.encode(points, features)
        weight, _ = weigh(self.radiance.density(points, features) * self.stride, samples)
        planes = composite(self.radiance.color(features), weight, samples, rays.cosine)
        if not training or self.normals == "none":
            return planes
        oriented = self.radiance.orientation(points, features, weight.detach(), rays, samples)
        return torch.cat([planes, oriented[None]])

    def scene(self) -> Scene:
        return self.cloud

    def shape_parameters(self) -> Sequence[Tensor]:
        return list(self.radiance.grid.parameters())

    def step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = at(self.rates[group["name"]], self.steps_taken)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps_taken += 1
        self._prepare_step()

    def _prepare_step(self) -> None:
        """Set the active levels of the next step; refresh the occupancy grid every `occupancy_every` steps."""
        self.radiance.active_levels = float(at(self.active_levels, self.steps_taken))
        if self.steps_taken % self.occupancy_every == 0:
            generator = Stream(self.seed, "occupancy", self.steps_taken).generator()
            self.occupancy.update(self._density, self.stride, generator)

    def _density(self, points: Float[Tensor, "3 M"]) -> Float[Tensor, " M"]:
        chunks = points.split(CHUNK_ON_CUDA if points.is_cuda else CHUNK, 1)
        parts = [self.radiance.density(part, self.radiance.encode(part)) for part in chunks]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @torch.no_grad()
    def field(self, xyz: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, " N"], Float[Tensor, "N 3"]]:
        """Density (per world unit; 0 outside the ball) and rgb of world points, for export."""
        density, color = xyz.new_zeros(len(xyz)), xyz.new_zeros(len(xyz), 3)
        for start in range(0, len(xyz), CHUNK):
            part = slice(start, start + CHUNK)
            points = xyz[part].to(self.device).T.contiguous()
            features = self.radiance.encode(points)
            inside = points.norm(dim=0) < self.bound
            density[part] = (self.radiance.density(points, features) * inside).to(xyz)
            color[part] = self.radiance.color(features).T.to(xyz)
        return density, color

    def vitals(self) -> dict[str, Tensor]:
        sums = {f"instant_ngp/{name}": p.detach().abs().mean() for name, p in self.named_parameters()}
        occupied = self.occupancy.occupied.float().mean()
        return sums | {"instant_ngp/occupied": occupied, "instant_ngp/samples": occupied.new_tensor(self.marched)}

    def state(self) -> dict[str, Any]:
        return {
            "params": {name: p.detach() for name, p in self.named_parameters()},
            "occupancy": self.occupancy.thickness,
            "points": self.cloud.points,  # a scene from its folder alone has no other way to them
            "steps_taken": self.steps_taken,
            "optimizer": self.optimizer.state_dict(),
        }

    @torch.no_grad()
    def adopt(self, state: dict[str, Any]) -> None:
        """Also of a scene with another background: the network of the environment is taken if both have one."""
        for name, parameter in self.named_parameters():
            if name in state["params"] or not name.startswith("environment."):
                parameter.copy_(state["params"][name])
        self.occupancy.take(state["occupancy"])
        self.cloud = _as_scene(state["points"].to(self.cloud.points))

    def restore(self, state: dict[str, Any]) -> None:
        saved, mine = state["params"], dict(self.named_parameters())
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in mine.items()} or (
            state["occupancy"].shape != self.occupancy.thickness.shape
        ):
            raise GsdError("The checkpoint holds other parameters than this config; delete it to start anew.")
        self.adopt(state)
        self.steps_taken = state["steps_taken"]
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # or it would go on with the very tensors given
        self.radiance.active_levels = float(at(self.active_levels, self.steps_taken))


def _as_scene(points: Float[Tensor, "N 3"]) -> Scene:
    return Scene(points, torch.arange(len(points), device=points.device))
