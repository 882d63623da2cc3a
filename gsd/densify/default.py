"""Adaptive density control."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Interval
from jaxtyping import Int
from torch import Tensor

from gsd.densify.parts.ids import Ids
from gsd.geometry import rotation_matrices
from gsd.protocols import Densifier, Parameters
from gsd.random import Stream
from gsd.ranges import Count, Length, StepNumber
from gsd.rasterizer.rows import keep_rows, replace_rows


@dataclass
class Default(Densifier):
    """Adaptive density control (Kerbl et al. 2023, section 5.2), with the defaults of gsplat.

    Every `every` steps in (start, until), Gaussians whose image position has a mean gradient above `grow_gradient` (in
    units of half the image, over the views that saw them) are cloned, or split in two where they are larger than
    `split_scale` world units; then those fainter than `prune_opacity`, and after the first reset those larger than
    `prune_scale`, are removed. Every `reset_every` steps all opacities are brought down to twice `prune_opacity`.
    There are never more than `cap_max`: the steepest grow first.
    """

    start: StepNumber = 500
    until: Count = 15_000
    every: Count = 100
    reset_every: Count = 3_000
    grow_gradient: Annotated[float, Interval(gt=0, le=1000)] = 0.0002
    split_scale: Length = 0.01
    prune_opacity: Annotated[float, Interval(gt=0, lt=0.5)] = 0.005
    prune_scale: Length = 0.1
    cap_max: Count = 1_000_000

    def __post_init__(self) -> None:
        self._ids = Ids()
        self._sums: Tensor | None = None  # [N] norms of the image-plane gradient, summed over views and steps
        self._seen: Tensor | None = None  # [N] how many views that were

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
        """See `gsd.protocols.Densifier`."""
        if step >= self.until:
            return ids
        self._observe(info, len(ids))
        if step > self.start and step % self.every == 0:
            ids = self._grow(params, optimizer, ids, rng)
            ids = self._prune(params, optimizer, ids, large_too=step > self.reset_every)
            self._sums = self._seen = None
        if step > 0 and step % self.reset_every == 0:
            self._reset_opacity(params, optimizer)
        return ids

    def state(self) -> dict[str, Any]:
        return {"next_id": self._ids.next, "sums": self._sums, "seen": self._seen}

    def restore(self, state: dict[str, Any]) -> None:
        self._ids.next, self._sums, self._seen = state["next_id"], state["sums"], state["seen"]

    def _observe(self, info: dict[str, Any], count: int) -> None:
        if self._sums is None or self._seen is None:
            device = info["radii"].device
            self._sums, self._seen = torch.zeros(count, device=device), torch.zeros(count, device=device)
        gradient = info["means2d"].grad
        if gradient is None:
            return
        half = gradient.new_tensor([info["width"], info["height"]]) / 2 * info["n_cameras"]
        seen = (info["radii"] > 0).all(-1)
        self._sums += ((gradient * half).norm(dim=-1) * seen).sum(0)
        self._seen += seen.sum(0)

    def _grow(
        self, params: Parameters, optimizer: torch.optim.Optimizer, ids: Int[Tensor, " N"], rng: Stream
    ) -> Int[Tensor, " M"]:
        assert self._sums is not None
        assert self._seen is not None
        steepness = self._sums / self._seen.clamp(min=1)
        order = steepness.sort(descending=True, stable=True).indices
        order = order[: max(self.cap_max - len(ids), 0)]
        chosen = order[steepness[order] > self.grow_gradient].sort().values
        large = params["log_scales"].exp().amax(-1) > self.split_scale
        split, clone = chosen[large[chosen]], chosen[~large[chosen]]
        stays = torch.ones_like(large)
        stays[split] = False
        stay = stays.nonzero()[:, 0]
        source = torch.cat([stay, clone, split, split])
        values = {name: p.detach()[source] for name, p in params.items()}
        halves = slice(len(stay) + len(clone), None)
        draw = torch.randn(2 * len(split), 3, generator=rng.generator(), dtype=torch.float32).to(ids.device)
        spread = values["log_scales"][halves].exp() * draw
        values["means"][halves] += (rotation_matrices(values["quats"][halves]) @ spread[..., None])[..., 0]
        values["log_scales"][halves] -= math.log(1.6)
        kept = torch.arange(len(source), device=ids.device) < len(stay)
        replace_rows(params, optimizer, values, source, kept)
        return torch.cat([ids[stay], self._ids.fresh(ids, len(source) - len(stay))])

    def _prune(
        self, params: Parameters, optimizer: torch.optim.Optimizer, ids: Int[Tensor, " N"], large_too: bool
    ) -> Int[Tensor, " M"]:
        opacity = params["opacity_logits"].sigmoid()
        keep = opacity >= self.prune_opacity
        if large_too:
            keep &= params["log_scales"].exp().amax(-1) <= self.prune_scale
        if not keep.any():
            keep[opacity.argmax()] = True  # an empty scene could never grow again
        keep_rows(params, optimizer, keep)
        return ids[keep]

    def _reset_opacity(self, params: Parameters, optimizer: torch.optim.Optimizer) -> None:
        logits = params["opacity_logits"]
        ceiling = math.log(2 * self.prune_opacity / (1 - 2 * self.prune_opacity))
        everyone = torch.arange(len(logits), device=logits.device)
        values = {"opacity_logits": logits.clamp(max=ceiling)}
        replace_rows(params, optimizer, values, everyone, torch.zeros_like(everyone, dtype=torch.bool))
