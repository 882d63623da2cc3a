"""RFDS-Rev: score distillation with a noise that is first turned back towards the one that the render came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from gsd.guidance.parts.branches import Projection, RescaleOf, View, guide, predict
from gsd.guidance.parts.shaping import GradientClip, Weighting, scale_at, shaped
from gsd.protocols import Guidance, Prior
from gsd.ranges import Fraction
from gsd.schedule import Scale, at
from gsd.types import Noised, Score

USUAL = 100.0  # guidance scale of the authors with Stable Diffusion 3; 50 with InstaFlow


@dataclass
class RFDSRev(Guidance):
    """gradient = w(sigma) (e_hat(z + sigma n') - n') with n' from one iRFDS step (Yang et al. 2024, 2406.03293).

    A flow sees x_t = (1 - t) z + t n with t = sigma / (1 + sigma) and predicts v = n - z. RFDS lowers
    |v_hat - (n - z)|^2 in z; iRFDS, the same in n: n' = n + h (v_hat - (n - z)). RFDS-Rev takes a step of iRFDS, with
    the text alone, and one of RFDS at the same t with n'. In sigma space v_hat - (n - z) = (1 + sigma) (e - n), so

    reverse=noise       h = 1 - t, the authors' with Stable Diffusion 3: n' = e(z + sigma n), the predicted noise itself
    reverse=velocity    h = 1, theirs with InstaFlow: n' = n + (1 + sigma) (e - n) = z + v_hat, the noise at which the
                        straight line through x_t along v_hat begins, were z its other end

    It is no other weight of SDS: the prior is asked at another place. n' is one step from the given noise towards the
    fixed point k = e(z + sigma k), the noise that SDI looks for. On a prior that is a Gaussian, e_hat - n' varies less
    with the noise drawn than the gradient of SDS does. Nothing in it needs a flow, so every prior can be asked;
    weighting=velocity makes it the gradient of velocities, v_hat - (n' - z), and sigma=flow draws t as for one.

    n' is no longer N(0, I), nor are the maps of views that share noise the same function of it: what a 3D noising
    promises holds for the first of the two questions. View guidance leads e_hat alone.

    guidance_scale follows diffusers, as the authors' does. Cost: one image per view more than SDS.
    """

    guidance_scale: Scale | None = None  # None: the prior's own, else 100
    reverse: Literal["noise", "velocity"] = "noise"
    rescale: Fraction = 0.0
    rescale_of: RescaleOf = "noise"
    weighting: Weighting = "velocity"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance, of e_hat alone
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        step, z, noise = given.rng.step, given.latents, given.noise
        seen = predict(prior, given.x, given.sigma, [given.condition])[0]
        found = seen if self.reverse == "noise" else noise + (1 + given.level) * (seen - noise)
        x = z + given.level * found
        scale = scale_at(self.guidance_scale, prior, USUAL, step)
        view = View(at(self.view_scale, step), self.view_projection)
        guided = guide(prior, x, given.sigma, given.condition, scale, self.rescale, self.rescale_of, view)
        residual = guided.eps - found
        gradient = shaped(residual, given, self.weighting, self.clip)
        return Score(gradient, guided.eps, guided.delta, len(z) + guided.calls, residual, guided.view)
