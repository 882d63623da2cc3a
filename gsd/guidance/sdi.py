"""Score distillation via inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from gsd.guidance.parts.branches import Projection, View, guide
from gsd.guidance.parts.inversion import follow, grid
from gsd.guidance.parts.shaping import GradientClip, Weighting, shaped
from gsd.noise_levels import sigma_at, step_at
from gsd.protocols import Guidance, Prior
from gsd.ranges import Fraction
from gsd.schedule import Scale, Schedule, Within, at
from gsd.types import Noised, Score


@dataclass
class SDI(Guidance):
    """gradient = z - D(z + sigma_t k; sigma_t), k the noise that inverts z (Lukoianov et al. 2024, eq. 10).

    k = (x - z) / sigma, where x is the DDIM inversion of z, with the text, to t + d with d uniform in one inversion
    step. It is put in at t, as eq. 10 says; threestudio denoises x itself as if it were at t. The inversion
    - takes `inversion_steps` steps for the whole range of t, fewer for a smaller t
    - starts from z without noise, at the lowest noise level
    - is guided by `inversion_scale`
    - adds noise in each step, `eta` times the standard deviation of DDPM's posterior.
    In sigma space it is Euler's method (`gsd.guidance.parts.inversion`). w = sigma makes w (e_hat - k) the difference
    of latents.

    View guidance leads D and not the inversion: k is to be the noise of the render as it is, and where the inversion is
    led too, x moves along and the difference that D is to make cancels.

    Both scales follow diffusers. The source counts from the text alone: its 7.5 and -7.5 are 8.5 and -6.5 here, except
    with Perp-Neg, as in its 3D runs, where they are 7.5 and -7.5 here too. It lowers t linearly from 0.98 to 0.25.

    Cost: up to inversion_steps + 1 times one or two images per view.
    """

    draws_own_noise = True

    guidance_scale: Scale = 8.5
    inversion_scale: Annotated[Schedule, Within(-10_000, 10_000)] = -6.5
    rescale: Fraction = 0.0
    inversion_steps: Annotated[int, Interval(ge=1, le=1000)] = 10
    eta: Annotated[float, Interval(ge=0, le=10)] = 0.3
    weighting: Weighting = "sigma"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance, of e_hat alone
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        found, calls = self._invert(prior, given)
        x, step = given.latents + given.level * found, given.rng.step
        scale = at(self.guidance_scale, step)
        view = View(at(self.view_scale, step), self.view_projection)
        guided = guide(prior, x, given.sigma, given.condition, scale, self.rescale, view=view)
        residual = guided.eps - found
        gradient = shaped(residual, given, self.weighting, self.clip)
        return Score(gradient, guided.eps, guided.delta, calls + guided.calls, residual, guided.view)

    def _invert(self, prior: Prior, given: Noised) -> tuple[Float[Tensor, "V C h w"], int]:
        """k, and the images denoised for it."""
        z, rng = given.latents, given.rng
        scale, calls = at(self.inversion_scale, rng.step), 0
        draws = rng.sub("inversion").generator()

        def eps(x: Float[Tensor, "V C h w"], level: Float[Tensor, " V"]) -> Float[Tensor, "V C h w"]:
            nonlocal calls
            guided = guide(prior, x, level, given.condition, scale)
            calls += guided.calls
            return guided.eps

        def noise(low: Float[Tensor, " V"], high: Float[Tensor, " V"]) -> Float[Tensor, "V C h w"]:
            deviation = low / high * ((high**2 - low**2) * (1 + high**2) / (1 + low**2)).sqrt()
            drawn = torch.randn(z.shape, generator=draws).to(z)
            return self.eta * deviation[:, None, None, None] * drawn

        table = prior.log_sigmas().to(given.sigma)
        t = step_at(given.sigma, table)
        spacing = len(table) / self.inversion_steps
        beyond = spacing * torch.rand((), generator=rng.sub("length").generator()).to(t)
        steps = grid(t, spacing)[:-1] or [torch.zeros_like(t)]
        levels = [sigma_at(step, table) for step in [*steps, (t + beyond).clamp(max=len(table) - 1)]]
        x = follow(z, levels, eps, noise if self.eta else None)
        return (x - z) / levels[-1][:, None, None, None], calls
