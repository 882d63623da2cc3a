"""Growing and pruning Gaussians while they are optimised, on what either rasteriser reports.

Both ways work on a dict of parameters (means, quats wxyz, log_scales, opacity_logits and any other with a row for each
Gaussian), the Adam optimiser that holds each in a group with that `name`, and the ids of the Gaussians. A Gaussian that
stays keeps its id and the optimiser's moments; every new one gets an id never used before and zero moments.
Parameters are replaced, not changed in place, because an earlier step's graph may still be alive.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from gsd.geometry import rotation_matrices
from gsd.random import Stream

Parameters = dict[str, nn.Parameter] | nn.ParameterDict
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Densifier(Protocol):
    """Called after optimizer.step() and before the gradients are cleared."""

    def __call__(
        self,
        params: Parameters,
        optimizer: torch.optim.Optimizer,
        ids: Tensor,
        info: dict[str, Any],
        step: int,
        rng: Stream,
    ) -> Tensor:
        """Replace parameters and optimiser state where the step asks for it; returns the ids."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit: tensors and numbers."""

    def restore(self, state: dict[str, Any]) -> None: ...


class _Ids:
    """Hands out ids that were never used."""

    def __init__(self) -> None:
        self.next: int | None = None

    def fresh(self, ids: Int[Tensor, " N"], count: int) -> Int[Tensor, " count"]:
        if self.next is None:
            self.next = int(ids.max()) + 1 if len(ids) else 0
        self.next += count
        return torch.arange(self.next - count, self.next, dtype=ids.dtype, device=ids.device)


def _replace(
    params: Parameters,
    optimizer: torch.optim.Optimizer,
    values: dict[str, Tensor],
    source: Int[Tensor, " M"],
    kept: Bool[Tensor, " M"],
) -> None:
    """Make `values` the parameters; row i takes the moments of the old row source[i] if it is kept, else zeros."""
    for group in optimizer.param_groups:
        name = group["name"]
        if name not in values:
            continue
        old = params[name]
        new = nn.Parameter(values[name].detach().clone(), requires_grad=old.requires_grad)
        state = optimizer.state.pop(old, {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == old.shape:
                rows = value[source]
                rows[~kept] = 0
                state[key] = rows
        if state:
            optimizer.state[new] = state
        group["params"] = [new]
        params[name] = new


class Default:
    """Adaptive density control (Kerbl et al. 2023, section 5.2), with the defaults of gsplat.

    Every `every` steps in (start, until), Gaussians whose image position has a mean gradient above `grow_gradient` (in
    units of half the image, over the views that saw them) are cloned, or split in two where they are larger than
    `split_scale` world units; then those fainter than `prune_opacity`, and after the first reset those larger than
    `prune_scale`, are removed. Every `reset_every` steps all opacities are brought down to twice `prune_opacity`.
    There are never more than `cap_max`: the steepest grow first.
    """

    def __init__(
        self,
        start: Annotated[int, Field(ge=0)] = 500,
        until: Count = 15_000,
        every: Count = 100,
        reset_every: Count = 3_000,
        grow_gradient: Positive = 0.0002,
        split_scale: Positive = 0.01,
        prune_opacity: Annotated[float, Field(gt=0, lt=0.5)] = 0.005,
        prune_scale: Positive = 0.1,
        cap_max: Count = 1_000_000,
    ) -> None:
        self.start, self.until, self.every, self.reset_every = start, until, every, reset_every
        self.grow_gradient, self.split_scale = grow_gradient, split_scale
        self.prune_opacity, self.prune_scale, self.cap_max = prune_opacity, prune_scale, cap_max
        self._ids = _Ids()
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
        """See `Densifier`."""
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
        _replace(params, optimizer, values, source, kept)
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
        source = keep.nonzero()[:, 0]
        values = {name: p.detach()[source] for name, p in params.items()}
        _replace(params, optimizer, values, source, torch.ones_like(source, dtype=torch.bool))
        return ids[source]

    def _reset_opacity(self, params: Parameters, optimizer: torch.optim.Optimizer) -> None:
        logits = params["opacity_logits"]
        ceiling = math.log(2 * self.prune_opacity / (1 - 2 * self.prune_opacity))
        everyone = torch.arange(len(logits), device=logits.device)
        values = {"opacity_logits": logits.clamp(max=ceiling)}
        _replace(params, optimizer, values, everyone, torch.zeros_like(everyone, dtype=torch.bool))


class Mcmc:
    """3D Gaussian splatting as Markov chain Monte Carlo (Kheradmand et al. 2024), with the defaults of gsplat.

    Every `every` steps in (start, until), Gaussians fainter than `min_opacity` move to places drawn in proportion to
    opacity, and a factor `growth` more are put there, up to `cap_max`, without changing the image (eq. 9). At every
    step the means take a random step, `noise` times their learning rate, along the axes of faint Gaussians (eq. 8).
    """

    def __init__(
        self,
        start: Annotated[int, Field(ge=0)] = 500,
        until: Count = 25_000,
        every: Count = 100,
        growth: Annotated[float, Field(ge=1)] = 1.05,
        min_opacity: Annotated[float, Field(gt=0, lt=1)] = 0.005,
        noise: Annotated[float, Field(ge=0)] = 5e5,
        cap_max: Count = 1_000_000,
    ) -> None:
        self.start, self.until, self.every, self.growth = start, until, every, growth
        self.min_opacity, self.noise, self.cap_max = min_opacity, noise, cap_max
        self._ids = _Ids()

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
        """See `Densifier`; `info` is not needed."""
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
        _replace(params, optimizer, values, source, kept)
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
