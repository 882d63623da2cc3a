"""3D Gaussian splatting as Markov chain Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Interval
from jaxtyping import Float, Int
from torch import Tensor

from gsd.densify.parts.ids import Ids
from gsd.geometry import rotation_matrices
from gsd.protocols import Densifier, Parameters
from gsd.random import Stream
from gsd.ranges import Count, StepNumber
from gsd.rasterizer.rows import replace_rows


@dataclass
class Mcmc(Densifier):
    """3D Gaussian splatting as Markov chain Monte Carlo (Kheradmand et al. 2024), with the defaults of gsplat.

    Every `every` steps in (start, until), Gaussians fainter than `min_opacity` move to places drawn in proportion to
    opacity, and a factor `growth` more are put there, up to `cap_max`, without changing the image (eq. 9). At every
    step the means take a random step, `noise` times their learning rate, along the axes of faint Gaussians (eq. 8).
    """

    start: StepNumber = 500
    until: Count = 25_000
    every: Count = 100
    growth: Annotated[float, Interval(ge=1, le=100)] = 1.05
    min_opacity: Annotated[float, Interval(gt=0, lt=1)] = 0.005
    noise: Annotated[float, Interval(ge=0, le=1e9)] = 5e5
    cap_max: Count = 1_000_000

    def __post_init__(self) -> None:
        self._ids = Ids()

    @torch.no_grad()
    def __call__(
        self,
        params: Parameters,
        optimizer: torch.optim.Optimizer,
        ids: Int[Tensor, " N"],
        info: dict[str, Any],
        step: int,
        rng: Stream,
    ) -> Int[Tensor, " M"]:
        """See `gsd.protocols.Densifier`; `info` is not needed."""
        generator = rng.generator()
        if self.start < step < self.until and step % self.every == 0:
            dead = params["opacity_logits"].sigmoid() <= self.min_opacity
            ids = self._put(params, optimizer, ids, dead.nonzero()[:, 0], 0, generator)
            extra = min(self.cap_max, int(self.growth * len(ids))) - len(ids)
            ids = self._put(params, optimizer, ids, ids.new_zeros(0), max(extra, 0), generator)
        self._shake(params, optimizer, generator)
        return ids

    def state(self) -> dict[str, Any]:
        return {"next_id": self._ids.next}

    def restore(self, state: dict[str, Any]) -> None:
        self._ids.next = state["next_id"]

    def _put(
        self,
        params: Parameters,
        optimizer: torch.optim.Optimizer,
        ids: Int[Tensor, " N"],
        dead: Int[Tensor, " D"],
        extra: int,
        generator: torch.Generator,
    ) -> Int[Tensor, " M"]:
        """Put the dead, and `extra` new ones at the end, on drawn living Gaussians."""
        opacity = params["opacity_logits"].sigmoid().double()
        chance = opacity.clone()
        chance[dead] = 0
        count = len(dead) + extra
        if count == 0 or not chance.sum() > 0:
            return ids
        drawn = torch.multinomial(chance.cpu(), count, replacement=True, generator=generator).to(ids.device)
        copies = torch.bincount(drawn, minlength=len(ids))[drawn] + 1
        new_opacity, shrink = relocation(opacity[drawn], copies)
        new_opacity = new_opacity.clamp(self.min_opacity, 1 - torch.finfo(torch.float32).eps).float()
        new = torch.arange(len(ids), len(ids) + extra, device=ids.device)
        places = torch.cat([dead, new])
        source = torch.cat([torch.arange(len(ids), device=ids.device), new.new_zeros(extra)])
        source[places] = drawn
        values = {name: p.detach()[source] for name, p in params.items()}
        for rows in (drawn, places):  # the living one shares its opacity with those put on it
            values["opacity_logits"][rows] = new_opacity.logit()
            values["log_scales"][rows] = params["log_scales"].detach()[drawn] + shrink.log().float()[:, None]
        kept = torch.ones(len(source), dtype=torch.bool, device=ids.device)
        kept[places] = kept[drawn] = False
        replace_rows(params, optimizer, values, source, kept)
        ids = torch.cat([ids, ids.new_zeros(extra)])
        ids[places] = self._ids.fresh(ids[: len(ids) - extra], count)
        return ids

    def _shake(self, params: Parameters, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
        means = params["means"]
        rate = next(group["lr"] for group in optimizer.param_groups if group["name"] == "means")
        axes = rotation_matrices(params["quats"]) * params["log_scales"].exp()[:, None]
        faint = torch.sigmoid(100 * (0.005 - params["opacity_logits"].sigmoid()))
        draw = torch.randn(means.shape, generator=generator, dtype=torch.float32).to(means.device)
        means.add_((axes @ axes.mT @ (draw * (faint * rate * self.noise)[:, None])[..., None])[..., 0])


def relocation(
    opacity: Float[Tensor, " n"], copies: Int[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Opacity of each of `copies` equal Gaussians that look like one, and the factor of their scales.

    Equation 9 of Kheradmand et al. 2024, in float64; copies beyond 51 count as 51, as in their code.
    """
    copies = copies.clamp(1, 51)
    new = 1 - (1 - opacity.double()) ** (1 / copies)
    total = torch.zeros_like(new)
    for i in range(1, int(copies.max()) + 1 if len(copies) else 1):
        terms = sum(math.comb(i - 1, k) * (-1) ** k / math.sqrt(k + 1) * new ** (k + 1) for k in range(i))
        total += torch.where(copies >= i, terms, 0.0)
    return new, opacity.double() / total
