"""Uniform score distillation: a density in which all views are equally likely."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import torch
from annotated_types import Len
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from gsd.guidance.parts.branches import Projection, View, guide, predict
from gsd.guidance.parts.shaping import GradientClip, Weighting, scale_at, shaped
from gsd.noise_levels import step_at
from gsd.protocols import Guidance, Prior
from gsd.ranges import Count, Few, Fraction
from gsd.schedule import Scale, at
from gsd.types import Condition, Context, Noised, Score

USUAL = 7.5  # guidance scale, for Stable Diffusion
LEAST_MEAN = 1e-3  # of a view's running average: a view that never shows is made at most so much likelier
RIDGE = 1e-9  # of the mean squared gap: texts that say the same get equal shares


@dataclass
class USD(Guidance):
    """gradient = w(sigma) (eps_hat - n + rectify sum_c (r_c - q_c) eps_c) (RecDreamer, Zheng et al. 2025, 2502.12640).

    RecDreamer distils p(x | y) f(x) instead of p(x | y), with

        f(x) = mean_c q_c / m_c,     q_c = p(c | x, y) the probability of view c,     m_c the mean of q_c,

    under which all views are equally likely: -sigma grad log f is added to eps_hat. The authors classify the denoised
    picture with DINOv2 against exemplars of the subject that were sorted by hand, and go back through the decoder and
    the UNet for the gradient. Here the prior is the classifier. p(x | y) is taken for a mixture of what the prompt says
    with the words of each view, so that its score is

        eps(x, y) = sum_c q_c eps(x, y_c),    and    -sigma grad log f = sum_c (r_c - q_c) eps(x, y_c)

    with r_c = (q_c / m_c) / sum_k (q_k / m_k), without a gradient of the network. The first equation gives q: it is the
    point of the simplex at which both sides are closest (`shares`). Unlike the likelihoods of the diffusion classifier
    (`gsd view-words`) at a single noise level, it has the prior's view bias in it: at pure noise q_c = p(c).

    m_c is a running average over the renders, per interval of the training steps, as the authors have it; it stands for
    the mean over p. The added term is at most as long as eps_hat - n in each view, as in their code. eps_hat is guided
    as in SDS, with the texts of the prompting.

    What it cannot do: r lies on the simplex, so a view is asked for at most as strongly as its words do. Where "back
    view" itself shows a front (in the menagerie: view_bias > view_words) there is no back to be found. And it knows no
    cameras: what is rectified is how often a view appears, not where.

    Cost: an image for every view and one for the plain prompt, beside those of SDS.
    """

    context: Context
    guidance_scale: Scale | None = None  # None: the prior's own, else 7.5
    rescale: Fraction = 0.0
    views: Annotated[tuple[str, ...], Len(2, 6)] = ("front view", "left side view", "back view", "right side view")
    rectify: Scale = 1.0
    intervals: Few = 10  # of noise levels, with running averages of their own
    memory: Count = 100  # renders that a running average reaches back
    weighting: Weighting = "one_minus_abar"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance, of eps_hat alone
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    def __post_init__(self) -> None:
        prompt, device = self.context.prompt, self.context.device
        self.texts = (prompt, *(f"{prompt}, {view}" for view in self.views))
        count = len(self.views)
        self.mean = torch.full((self.intervals, count), 1 / count, dtype=torch.float64, device=device)
        self.seen = torch.zeros(self.intervals, dtype=torch.float64, device=device)
        self.moved: Float[Tensor, ""] | None = None

    @torch.no_grad()
    def __call__(self, prior: Prior, given: Noised) -> Score:
        step = given.rng.step
        scale = scale_at(self.guidance_scale, prior, USUAL, step)
        view = View(at(self.view_scale, step), self.view_projection)
        guided = guide(prior, given.x, given.sigma, given.condition, scale, self.rescale, view=view)
        residual = guided.eps - given.noise
        rectifying = at(self.rectify, step) * self._rectifying(prior, given)
        length, most = (each.square().sum((1, 2, 3), keepdim=True).sqrt() for each in (rectifying, residual))
        residual = residual + rectifying * (most / length.clamp(min=torch.finfo(length.dtype).tiny)).clamp(max=1)
        gradient = shaped(residual, given, self.weighting, self.clip)
        calls = guided.calls + len(given.x) * len(self.texts)
        return Score(gradient, given.noise + residual, guided.delta, calls, view_delta=guided.view)

    def _rectifying(self, prior: Prior, given: Noised) -> Float[Tensor, "V C h w"]:
        """-sigma grad log f at x. The renders are added to the running averages afterwards."""
        eps, *of_views = predict(prior, given.x, given.sigma, [self._told(given, text) for text in self.texts])
        several = torch.stack(of_views, 1)
        q = shares(eps, several)
        table = prior.log_sigmas().to(given.sigma)
        interval = (step_at(given.sigma, table) * (self.intervals / len(table))).long().clamp(0, self.intervals - 1)
        r = q / self.mean[interval].clamp(min=LEAST_MEAN)
        r = r / r.sum(1, keepdim=True)
        self.moved = (r - q).abs().sum(1).mean() / 2
        self._remember(q, interval)
        return torch.einsum("vk,vkchw->vchw", (r - q).to(eps), several)

    def _told(self, given: Noised, text: str) -> Condition:
        return given.condition.with_texts((text,) * len(given.x))

    def _remember(self, q: Float[Tensor, "V views"], interval: Tensor) -> None:
        """The mean of all that was seen, then of the last `memory` with weights that fall exponentially."""
        member = one_hot(interval, self.intervals).to(q)
        new = member.sum(0)
        self.seen = torch.minimum(self.seen + new, new.clamp(min=self.memory))
        change = member.T @ q - new[:, None] * self.mean
        self.mean = self.mean + change / self.seen.clamp(min=1)[:, None]

    def vitals(self) -> dict[str, Tensor]:
        """For metrics.jsonl: the probability that was moved between views, 0 to 1."""
        return {} if self.moved is None else {"guidance/views_moved": self.moved}

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean, self.seen = state["mean"], state["seen"]


def shares(eps: Float[Tensor, "V C h w"], of_views: Float[Tensor, "V views C h w"]) -> Float[Tensor, "V views"]:
    """The q >= 0 with sum 1 of each view that bring sum_c q_c of_views[:, c] closest to eps, in float64.

    With the gaps g_c = of_views[:, c] - eps it is the point nearest to 0 in their convex hull. On the face with the
    members S it is proportional to G_S^-1 1, G the inner products of the gaps, and its squared distance is
    1 / (1' G_S^-1 1). The nearest one that lies on its face is the solution; with few views all faces are tried.
    """
    gaps = (of_views - eps[:, None]).flatten(2).double()
    inner = gaps @ gaps.mT
    count = inner.shape[1]
    mean = inner.diagonal(dim1=1, dim2=2).mean(1).clamp(min=torch.finfo(inner.dtype).tiny / RIDGE)
    inner = inner / mean[:, None, None] + RIDGE * torch.eye(count).to(inner)
    faces = torch.tensor([face for face in product((0.0, 1.0), repeat=count) if any(face)]).to(inner)
    on_face = inner[:, None] * faces[:, :, None] * faces[:, None] + torch.diag_embed(1 - faces)
    found = torch.linalg.solve_ex(on_face, faces.expand(len(inner), -1, -1)[..., None]).result[..., 0]
    total = found.sum(2).where((found >= 0).all(2), 0.0)
    best = found[torch.arange(len(inner), device=inner.device), total.argmax(1)]
    return best / best.sum(1, keepdim=True)
