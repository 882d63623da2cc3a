"""A noising, a loss and a guidance of one's own."""

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.guidance.parts.branches import guide
from gsd.guidance.parts.shaping import scale_at
from gsd.protocols import Guidance, Loss, Noising, Prior
from gsd.random import Stream
from gsd.ranges import Fraction
from gsd.schedule import Scale, Schedule
from gsd.types import Geometry, Noised, Score, StepState


class Shared(Noising):
    """The same map in every view, mixed with fresh noise: sqrt(1 - fresh) shared + sqrt(fresh) own; each is N(0, I)."""

    claims = frozenset({"white", "unit"})  # gsd noising-check holds it to them

    def __init__(self, fresh: Fraction = 0.0) -> None:
        self.fresh = fresh

    def __call__(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        views, _, height, width = geometry.depth.shape
        draws = [rng.sub(name).generator() for name in ("shared", "own")]  # of the CPU, so that a GPU sees the same
        shared = torch.randn(1, channels, height, width, generator=draws[0])
        own = torch.randn(views, channels, height, width, generator=draws[1])
        return ((1 - self.fresh) ** 0.5 * shared + self.fresh**0.5 * own).to(geometry.depth.device)


class SmoothDepth(Loss):
    """Mean absolute difference of the depths of neighbouring pixels, in world units."""

    def __init__(self, weight: Schedule = 0.1) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        depth = state.render.depth
        return depth.diff(dim=-1).abs().mean() + depth.diff(dim=-2).abs().mean()


class Unit(Guidance):
    """gradient = (eps_hat - n) / its root mean square in each view: of one size at every noise level."""

    def __init__(self, guidance_scale: Scale | None = None) -> None:
        self.guidance_scale = guidance_scale

    def __call__(self, prior: Prior, given: Noised) -> Score:
        scale = scale_at(self.guidance_scale, prior, 7.5, given.rng.step)  # without a number, what suits the prior
        # Asks for text, negative prompt and Perp-Neg in one batch
        guided = guide(prior, given.x, given.sigma, given.condition, scale)
        direction = guided.eps - given.noise
        size = direction.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-8)
        return Score(direction / size, guided.eps, guided.delta, guided.calls)
