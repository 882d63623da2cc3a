"""A noising, a loss and a guidance of one's own."""

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.guidance.parts.branches import guide
from gsd.guidance.parts.shaping import Scale, scale_at
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.schedule import Schedule
from gsd.types import Cameras, Condition, Render, Scene, Score, Share, StepState


class Shared:
    """The same map in every view, mixed with fresh noise: sqrt(1 - fresh) shared + sqrt(fresh) own; each is N(0, I)."""

    claims = frozenset({"white", "unit"})  # gsd noising-check holds it to them

    def __init__(self, fresh: Share = 0.0) -> None:
        self.fresh = fresh

    def __call__(
        self, scene: Scene, render: Render, cameras: Cameras, shape: tuple[int, int, int, int], rng: Stream
    ) -> Float[Tensor, "V C h w"]:
        device = render.rgb.device
        shared = torch.randn(shape[1:], generator=rng.sub("shared").generator(device), device=device)
        own = torch.randn(shape, generator=rng.sub("own").generator(device), device=device)
        return (1 - self.fresh) ** 0.5 * shared + self.fresh**0.5 * own


class SmoothDepth:
    """Mean absolute difference of the depths of neighbouring pixels, in world units."""

    def __init__(self, weight: Schedule = 0.1) -> None:
        self.weight = weight

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        depth = state.render.depth
        return depth.diff(dim=-1).abs().mean() + depth.diff(dim=-2).abs().mean()


class Unit:
    """gradient = (eps_hat - n) / its root mean square in each view: of one size at every noise level."""

    draws_own_noise = False

    def __init__(self, guidance_scale: Scale | None = None) -> None:
        self.guidance_scale = guidance_scale

    def __call__(
        self,
        prior: Prior,
        z: Float[Tensor, "V C h w"],
        noise: Float[Tensor, "V C h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
        rng: Stream,
    ) -> Score:
        x = z + sigma[:, None, None, None] * noise
        scale = scale_at(self.guidance_scale, prior, 7.5, rng.step)  # without a number, what suits the prior
        guided = guide(prior, x, sigma, condition, scale)  # asks for text, negative prompt and Perp-Neg in one batch
        direction = guided.eps - noise
        size = direction.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-8)
        return Score(direction / size, guided.eps, guided.delta, guided.calls)
