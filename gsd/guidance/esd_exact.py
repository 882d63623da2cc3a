"""Entropic score distillation of one scene, without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.guidance.parts.branches import Projection, View, guide
from gsd.guidance.parts.shaping import GradientClip, Weighting, scale_at, shaped
from gsd.protocols import Guidance, Prior
from gsd.ranges import Few, Fraction
from gsd.schedule import Scale, at
from gsd.types import Noised, Score

USUAL = 7.5  # guidance scale, for Stable Diffusion


@dataclass
class ExactESD(Guidance):
    """gradient = w(sigma) (e_hat(x, y) - (1 - lambda) e_q(x | c) - lambda e_q(x)) (ESD, Wang et al. 2024, 2401.00909).

    q is the distribution of the scene's noised renders, from the step's camera c or from any camera; e_q is
    -sigma grad log q. The gradient is that of (1 - lambda) mean_c KL(q(x | c) || p) + lambda KL(q(x) || p): the second
    term raises the entropy of the renders over all cameras, which is low where a scene looks alike from all sides.
    ESD's authors learn e_q as VSD does, with a LoRA: guidance=esd.

    For a single scene q is known. A camera has one render z, so q(x | c) = N(z, sigma^2 I) and e_q(x | c) is the noise
    n itself. From any camera q is the mixture over renders z_k,

        e_q(x) = (x - sum_k r_k z_k) / sigma,   r = softmax_k(-|x - z_k|^2 / 2 sigma^2),

    so lambda = 0 is SDS, and any prior will do. The z_k are the last `memory` renders, this step's included; the
    earlier ones show the scene as it was some steps ago, which is the one approximation. Renders of another size are
    dropped. With `particles` the scenes share q(x), but e_q(x | c) stays that of one scene.

    The authors use lambda = 0.5 (1 - guidance_scale_lora in threestudio) and say that it varies.
    """

    guidance_scale: Scale | None = None  # None: the prior's own, else 7.5
    rescale: Fraction = 0.0
    entropy: Fraction = 0.5  # lambda
    memory: Few = 32
    weighting: Weighting = "one_minus_abar"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    def __post_init__(self) -> None:
        self.renders: Float[Tensor, "K C h w"] | None = None
        self.confusable: Float[Tensor, ""] | None = None

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        step = given.rng.step
        scale = scale_at(self.guidance_scale, prior, USUAL, step)
        view = View(at(self.view_scale, step), self.view_projection)
        guided = guide(prior, given.x, given.sigma, given.condition, scale, self.rescale, view=view)
        own = torch.lerp(given.noise, self._any_camera(given), self.entropy)
        direction = guided.eps - own
        gradient = shaped(direction, given, self.weighting, self.clip)
        return Score(gradient, guided.eps, guided.delta, guided.calls, direction, guided.view)

    def _any_camera(self, given: Noised) -> Float[Tensor, "V C h w"]:
        """e_q(x), after this step's renders have been added to the memory."""
        known, z = self.renders, given.latents
        if known is not None and known.shape[1:] == z.shape[1:]:
            z = torch.cat([known.to(z), z])
        self.renders = renders = z[-self.memory :]
        squared = torch.stack([(x - renders).square().sum((1, 2, 3)) for x in given.x])
        share = torch.softmax(-squared / (2 * given.sigma[:, None] ** 2), 1)
        self.confusable = torch.special.entr(share).sum(1).exp().mean()
        return (given.x - torch.einsum("vk,kchw->vchw", share, renders)) / given.level

    def vitals(self) -> dict[str, Tensor]:
        """For metrics.jsonl: how many of the renders a noised one may come from, exp(entropy of r)."""
        return {} if self.confusable is None else {"guidance/confusable_renders": self.confusable}

    def state(self) -> dict[str, Any]:
        return {} if self.renders is None else {"renders": self.renders}

    def restore(self, state: dict[str, Any]) -> None:
        self.renders = state.get("renders")
