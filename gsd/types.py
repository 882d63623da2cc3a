"""What the parts of a step hand to each other. Every field states its shape, unit and range."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gsd.errors import GsdError
from gsd.random import Stream
from gsd.ranges import Fraction  # noqa: F401, since options of one's own may take it from here

# What a noising promises about its maps, tested by `gsd noising-check`:
# white: the pixels of a map are independent; unit: each is N(0, 1); shared: views of a group agree on what both see.
NoiseClaim = Literal["white", "unit", "shared"]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Cameras:
    """V pinhole cameras (OpenCV: x right, y down, z forward). Views of one group are adjacent rows, anchor first."""

    viewmats: Float[Tensor, "V 4 4"]  # world -> camera, rigid
    Ks: Float[Tensor, "V 3 3"]  # intrinsics in pixels; pixel centres at +0.5
    width: int
    height: int
    azimuth: Float[Tensor, " V"]  # degrees, 0 = front, counter-clockwise from above
    elevation: Float[Tensor, " V"]  # degrees, up
    distance: Float[Tensor, " V"]  # world units from the origin
    group: Int[Tensor, " V"]  # index of the group a view belongs to, ascending
    host: Cameras | None = None  # where they came from, if they were moved: see on_cpu

    @property
    def on_cpu(self) -> Cameras:
        """The same cameras on the CPU, where their numbers can be read without waiting for a GPU."""
        return self.to(CPU) if self.host is None else self.host

    def __len__(self) -> int:
        return self.viewmats.shape[0]

    def __getitem__(self, views: slice | Tensor) -> Cameras:
        """The chosen views, as cameras of the same resolution."""
        return replace(
            self,
            viewmats=self.viewmats[views],
            Ks=self.Ks[views],
            azimuth=self.azimuth[views],
            elevation=self.elevation[views],
            distance=self.distance[views],
            group=self.group[views],
            host=None if self.host is None else self.host[views.cpu() if isinstance(views, Tensor) else views],
        )

    def resized(self, width: int, height: int) -> Cameras:
        """The same cameras at another resolution, for example that of the latents; intrinsics scale with it."""
        scale = self.Ks.new_tensor([width / self.width, height / self.height, 1.0])
        host = None if self.host is None else self.host.resized(width, height)
        return replace(self, Ks=self.Ks * scale[:, None], width=width, height=height, host=host)

    def __add__(self, other: Cameras) -> Cameras:
        """Both sets as one batch; the groups of the second follow those of the first."""
        both: dict[str, Any] = {
            name: torch.cat([mine, getattr(other, name)])
            for name, mine in vars(self).items()
            if isinstance(mine, Tensor)
        }
        both["group"] = torch.cat([self.group, other.group + self.group.max() + 1])
        host = self.host + other.host if self.host is not None and other.host is not None else None
        return replace(self, **both, host=host)

    def to(self, device: torch.device | str) -> Cameras:
        if torch.device(device).type == self.viewmats.device.type == "cpu":
            return self
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved, host=self if self.viewmats.device.type == "cpu" else None)


@dataclass(frozen=True)
class Render:
    """What a representation shows to V cameras, with the autograd graph attached while training."""

    rgb: Float[Tensor, "V 3 H W"]  # [0, 1], over the background
    depth: Float[Tensor, "V 1 H W"]  # expected camera-space z, divided by alpha; 0 where nothing was hit
    alpha: Float[Tensor, "V 1 H W"]  # [0, 1]
    # Radiance fields with normals, while training: sum over the ray's samples of w max(normal . direction, 0)^2
    orientation: Float[Tensor, "V 1 H W"] | None = None  # w are the compositing weights, detached
    background: Float[Tensor, "V 3"] | None = None  # rgb in [0, 1] behind the object; None where it varies in a view


@dataclass(frozen=True)
class PointCloud:
    """A starting point for a representation."""

    xyz: Float[Tensor, "N 3"]  # world units, inside the unit ball
    rgb: Float[Tensor, "N 3"]  # [0, 1]
    whole: dict[str, Any] | None = None  # state of a scene of the run's own kind, of which these are the points
    normals: Float[Tensor, "N 3"] | None = None  # of the surface, unit length, on either side of it
    splats: Any | None = None  # a `gsd.rasterizer.ply.Splats` that Gaussians start as, in the place of round ones


@dataclass(frozen=True)
class Scene:
    """The geometry a representation exposes to noising: points with identities that survive densification."""

    points: Float[Tensor, "N 3"]
    ids: Int[Tensor, " N"]  # unique, never reused within a run
    scales: Float[Tensor, "N 3"] | None = None  # standard deviations along the local axes, world units
    quats: Float[Tensor, "N 4"] | None = None  # wxyz, local axes -> world; need not be normalised
    opacities: Float[Tensor, " N"] | None = None  # in (0, 1)


@dataclass(frozen=True)
class Geometry:
    """The input of a noising: the scene, and what the step's cameras see of it at the size of the latents."""

    scene: Scene
    cameras: Cameras  # V, of h x w pixels
    depth: Float[Tensor, "V 1 h w"]  # camera-space z, area mean weighted with alpha; 0 where nothing was hit
    alpha: Float[Tensor, "V 1 h w"]  # area mean, [0, 1]; without graph
    render: Render  # as it was rendered, for finer depth


@dataclass(frozen=True)
class Condition:
    """What V views are denoised towards. The empty text is the unconditional branch.

    A view may have two texts, such as "side view" and "back view" for a camera in between. Priors blend their
    embeddings or log-weights as (1 - blend) texts + blend others.

    The guidance uses `negatives` as the other end of classifier-free guidance, and `against` as Perp-Neg's K further
    prompts. Guidances pass `cameras` and `background` on in every branch, for priors that use them.
    """

    texts: tuple[str, ...]  # V prompts, view words included
    cameras: Cameras | None = None  # V cameras, for priors that know about views
    others: tuple[str, ...] | None = None  # V second prompts
    blend: Float[Tensor, " V"] | None = None  # [0, 1], given with others
    negatives: tuple[str, ...] | None = None  # V negative prompts; None: ""
    against: tuple[tuple[str, ...], ...] = ()  # K times V prompts
    against_weights: Float[Tensor, "K V"] | None = None  # given with against
    background: Float[Tensor, "V 3"] | None = None  # rgb in [0, 1] behind the object; None: unknown
    opposite: Condition | None = None  # texts, others and blend that view guidance leads away from; None: no view words
    turned: Float[Tensor, " V"] | None = None  # degrees from the cameras' azimuth to that of the texts; None: 0

    def __add__(self, other: Condition) -> Condition:
        """Both conditions as one batch to denoise, without negatives, against and opposite."""
        cameras = self.cameras + other.cameras if self.cameras and other.cameras else None
        both = Condition(self.texts + other.texts, cameras)
        if self.background is not None and other.background is not None:
            both = replace(both, background=torch.cat([self.background, other.background]))
        if self.turned is not None or other.turned is not None:
            both = replace(both, turned=torch.cat([self._turned(), other._turned()]))
        if self.blend is None and other.blend is None:
            return both
        (others, one), (more, other_one) = self._second(), other._second()
        return replace(both, others=others + more, blend=torch.cat([one, other_one]))

    def _second(self) -> tuple[tuple[str, ...], Float[Tensor, " V"]]:
        if self.others is None or self.blend is None:
            return self.texts, torch.zeros(len(self.texts))
        return self.others, self.blend

    def _turned(self) -> Float[Tensor, " V"]:
        return torch.zeros(len(self.texts)) if self.turned is None else self.turned

    def with_texts(self, texts: tuple[str, ...]) -> Condition:
        """Other texts for the same views."""
        return Condition(texts, self.cameras, background=self.background)

    def unconditional(self) -> Condition:
        """The empty text for the same views."""
        return self.with_texts(("",) * len(self.texts))

    def negative(self) -> Condition:
        """The negative prompts for the same views."""
        return self.with_texts(self.negatives or ("",) * len(self.texts))

    def opposite_view(self) -> Condition:
        """What view guidance leads away from, for the same views. Raises GsdError where texts have no view words."""
        if self.opposite is None:
            raise GsdError(
                "guidance.view_scale needs prompts with view words; set prompting=interpolated, view_dependent or "
                "perp_neg, or guidance.view_scale=0."
            )
        turned = self.opposite.turned
        if turned is None:
            turned = torch.full((len(self.texts),), 180.0)
        return replace(self.opposite, cameras=self.cameras, background=self.background, turned=turned)


@dataclass(frozen=True)
class Noised:
    """The input of a guidance: V latents without graph, their noise, noise level and condition."""

    latents: Float[Tensor, "V C h w"]
    noise: Float[Tensor, "V C h w"]
    sigma: Float[Tensor, " V"]
    condition: Condition
    rng: Stream  # of this step, for what is drawn besides the noise; rng.step is the step, for schedules

    @property
    def level(self) -> Float[Tensor, "V 1 1 1"]:
        """sigma, to be multiplied with maps."""
        return self.sigma[:, None, None, None]

    @property
    def x(self) -> Float[Tensor, "V C h w"]:
        """latents + sigma noise."""
        return self.latents + self.level * self.noise


@dataclass(frozen=True)
class Score:
    """The output of a guidance for V noised latents, without graph.

    The objective uses it as a linear term <gradient, z>, whose derivative is the gradient and whose value has no
    meaning; metrics.jsonl therefore also has score/gradient_rms.
    """

    gradient: Float[Tensor, "V C h w"]  # descent direction with respect to z, weighting included
    eps: Float[Tensor, "V C h w"]  # predicted noise, eps = (x - D)/sigma, after classifier-free guidance
    cfg_delta: Float[Tensor, "V C h w"] | None  # eps_text - eps_uncond; None if only one branch was computed
    prior_calls: int  # images the prior denoised for it
    residual: Float[Tensor, "V C h w"] | None = None  # gradient before weight and clipping, where it is not eps - noise
    view_delta: Float[Tensor, "V C h w"] | None = None  # eps_text - eps_opposite; None without view guidance


@dataclass(frozen=True)
class StepState:
    """One optimisation step, as losses, loggers and checkpoints see it."""

    step: int
    cameras: Cameras  # as rendered; geometry.cameras are those of the latents
    geometry: Geometry  # with graph
    latents: Float[Tensor, "V C h w"]  # with graph
    noise: Float[Tensor, "V C h w"]
    sigma: Float[Tensor, " V"]
    score: Score
    terms: dict[str, Any] = field(default_factory=dict)  # name -> scalar Tensor: the weighted terms of the objective
    shares: dict[str, float] = field(default_factory=dict)  # of the terms at some steps, see `gsd.shares`

    @property
    def render(self) -> Render:
        return self.geometry.render

    @property
    def scene(self) -> Scene:
        return self.geometry.scene


@dataclass(frozen=True)
class Shown:
    """What a viewer is given of a step."""

    state: StepState
    scene: Any  # the `gsd.protocols.Representation` that took the step
    pictures: dict[str, UInt8[np.ndarray, "V h w 3"]]  # rgb, depth, alpha, noise, gradient: noise is 0.5 + n / 6
    records: list[dict[str, Any]]  # lines of metrics.jsonl that have come since the last call


@dataclass(frozen=True)
class Context:
    """Values that no yaml can hold. A class that needs them has a constructor parameter `context: Context`."""

    prompt: str = ""
    device: torch.device = CPU
    steps: int = 1  # of the run; for a representation, of its scene
    seed: int = 0  # of the run; for a representation, of its scene
    points: PointCloud | None = None  # a representation's start
    random_background: float = 0.0  # what suits the prior, see `gsd.protocols.Prior`
    densifier: Any = None  # a representation's, see `gsd.protocols.Densifier`
    representation: tuple[type, dict[str, Any]] | None = None  # a start's: class and options of the scene it is for
    prior_identity: str = ""  # of a start: all that decides what the run's prior says


@dataclass(frozen=True)
class TrackedRun:
    """How a tracker identifies a run."""

    id: str  # the run's signature
    name: str  # what was typed of it; in a sweep, what that varies: "noising=consistent seed=1"
    group: str | None  # the sweep
    job: str  # the preset, or "run"
    tags: tuple[str, ...]
    config: dict[str, Any]  # prompt, seed, steps and the option of every group; under "config" all of it, resolved
    folder: Path


@dataclass(frozen=True)
class TrackedRow:
    """A line of metrics.jsonl or evaluations.jsonl, with the pictures that belong to it."""

    number: int  # its place in the run's history: 0, 1, 2, ...; however often a run is continued, the same
    values: dict[str, float]  # step, prior_calls and seconds among them
    pictures: dict[str, Path] = field(default_factory=dict)
    histograms: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # N counts, N + 1 edges


@dataclass(frozen=True)
class TrackedResults:
    """The results of a finished run; for several particles, those of the first."""

    number: int  # the place after the last row
    step: int  # steps taken
    values: dict[str, float]  # the numbers of summary.json
    video: Path  # one turn
    points: Float[np.ndarray, "N 6"] | None  # x y z in world units, r g b in [0, 255]; None for a radiance field
    curves: dict[str, dict[str, list[float]]]  # chart -> line -> values at equally spaced azimuths, from 0 on
    files: tuple[Path, ...]  # the scene, its config and its summary
