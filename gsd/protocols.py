"""The interfaces between the parts. A group's members import only types, protocols and geometry, never each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsd.random import Stream
from gsd.types import (
    Cameras,
    Condition,
    NoiseClaim,
    PointCloud,
    Render,
    Scene,
    Score,
    StepState,
    TrackedResults,
    TrackedRow,
    TrackedRun,
)

Parameters = dict[str, nn.Parameter] | nn.ParameterDict  # of Gaussians, one row each


@runtime_checkable
class Init(Protocol):
    def __call__(self, rng: Stream) -> PointCloud: ...


@runtime_checkable
class Representation(Protocol):
    """A scene with its own optimisers. It is an nn.Module in practice, but nothing here relies on that."""

    def render(self, cameras: Cameras) -> Render: ...
    def scene(self) -> Scene: ...
    def step(self) -> None:
        """Apply the accumulated gradients, then densify and prune; gradients are cleared."""

    def vitals(self) -> dict[str, Tensor]:
        """Scalars worth a line in metrics.jsonl; not finite if any parameter is not."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit: tensors, numbers and strings only."""

    def restore(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Densifier(Protocol):
    """Grows and prunes Gaussians. Called after optimizer.step() and before the gradients are cleared.

    It works on a dict of parameters (means, quats wxyz, log_scales, opacity_logits and any other with one row per
    Gaussian), the Adam optimiser that holds each in a group with that `name`, and the ids of the Gaussians. A Gaussian
    that stays keeps its id and the optimiser's moments; every new one gets an id never used before and zero moments.
    Parameters are replaced, not changed in place, because an earlier step's graph may still be alive.
    """

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


@runtime_checkable
class Prior(Protocol):
    """A frozen image model in sigma space."""

    latent_shape: tuple[int, int, int]  # C, h, w
    guidance_scale: float | None  # what suits it in score distillation; None: what is usual with each method

    def encode(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V C h w"]:
        """Images to latents, keeping the graph."""

    def decode(self, z: Float[Tensor, "V C h w"]) -> Float[Tensor, "V 3 H W"]: ...

    def denoise(
        self, x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"], condition: Condition
    ) -> Float[Tensor, "V C h w"]:
        """D(x; sigma, y), the expected clean latents given x = z + sigma n."""


@runtime_checkable
class Prompting(Protocol):
    """What the prior is told about each view."""

    texts: tuple[str, ...]  # all that it may ever say, negative prompts included

    def __call__(self, cameras: Cameras) -> Condition: ...


@runtime_checkable
class ReadsTexts(Protocol):
    """A prior that is better told all texts of a run before it begins."""

    def prepare(self, texts: Iterable[str]) -> None: ...


@runtime_checkable
class SeesPoints(Protocol):
    """A prior that is told the points a run starts from, before its first step."""

    def see(self, points: PointCloud) -> None: ...


@runtime_checkable
class Noising(Protocol):
    claims: frozenset[NoiseClaim]  # "white" and "unit" together: every map is N(0, I) on its own

    def __call__(
        self, scene: Scene, render: Render, cameras: Cameras, shape: tuple[int, int, int, int], rng: Stream
    ) -> Float[Tensor, "V C h w"]:
        """Noise maps; how they depend on each other is the method. Views of a group are neighbours, anchor first."""


@runtime_checkable
class Guidance(Protocol):
    draws_own_noise: bool  # then pairing it with anything but noising=random is refused

    def __call__(
        self,
        prior: Prior,
        z: Float[Tensor, "V C h w"],
        noise: Float[Tensor, "V C h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
        rng: Stream,
    ) -> Score:
        """rng.step is the step, for schedules; what is drawn beside the noise comes from rng."""


@runtime_checkable
class Adapts(Protocol):
    """A guidance that trains something on the prior's own network. It then has state(), restore() and vitals() too."""

    def attach(self, prior: Prior, rng: Stream) -> None:
        """Once, before the first call. Raises GsdError where the prior has no network."""


@runtime_checkable
class Loss(Protocol):
    """A term of the objective beside the score; weight(step) multiplies it."""

    weight: Any  # Schedule

    def __call__(self, state: StepState) -> Float[Tensor, ""]: ...


@runtime_checkable
class Metric(Protocol):
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]: ...


@runtime_checkable
class Logger(Protocol):
    """A tracker that mirrors run folders: `with logger(run) as tracker`, once for every stretch that a run goes on.

    The block is left by SystemExit where a signal has stopped the run, and by its error where it has failed. What a
    tracker itself raises ends its part and never the run, see `gsd.runner.mirror`.
    """

    def __call__(self, run: TrackedRun) -> AbstractContextManager[Tracker]: ...


class Tracker(Protocol):
    known: int  # rows that the tracker has from before: those with smaller numbers are not told again

    def log(self, rows: Sequence[TrackedRow]) -> None:
        """In the order of their numbers. A checkpoint holds them, so that none is ever taken back."""

    def finish(self, results: TrackedResults) -> None:
        """Once, after the last row."""


@runtime_checkable
class Learns(Protocol):
    """What changes in a run and so belongs into its checkpoints: a representation, a guidance that trains a network."""

    def vitals(self) -> dict[str, Tensor]:
        """Scalars worth a line in metrics.jsonl; not finite if any parameter is not."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit: tensors, numbers and strings only."""

    def restore(self, state: dict[str, Any]) -> None: ...
