"""The interfaces between the parts. A group's members import the vocabulary and engines, never each other.

An option subclasses the protocol of its group and so inherits what most options leave as it is: the attributes that
have a value here, and the methods that have a body. Those of loggers and viewers are in `gsd.watching`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gsd.errors import GsdError
from gsd.noise_levels import vp_sigmas
from gsd.random import Stream
from gsd.schedule import Schedule, Weight
from gsd.types import (
    Cameras,
    Condition,
    Context,
    Geometry,
    NoiseClaim,
    Noised,
    PointCloud,
    Render,
    Scene,
    Score,
    StepState,
)

Parameters = dict[str, nn.Parameter] | nn.ParameterDict  # of Gaussians, one row each


@runtime_checkable
class Camera(Protocol):
    views: int  # of a group

    @abstractmethod
    def __call__(self, rng: Stream) -> Cameras:
        """The cameras of step rng.step, on the CPU. Views of a group are neighbours, anchor first."""


@runtime_checkable
class Sigma(Protocol):
    @abstractmethod
    def __call__(self, cameras: Cameras, rng: Stream) -> Float[Tensor, " V"]:
        """The noise level of every view at step rng.step."""

    def attach(self, prior: Prior) -> None:
        """Before the first step: take over what the levels depend on of the run's prior."""
        return None


@runtime_checkable
class Init(Protocol):
    """A class attribute `light = True` says that making it loads no model: it is then made before the prior."""

    @abstractmethod
    def __call__(self, rng: Stream) -> PointCloud: ...


@runtime_checkable
class AsksPrior(Init, Protocol):
    """An Init that may want a picture of the run's prior; `Context.prior_identity` says which prior that is."""

    asks_prior: bool = False  # whether ask() must come before the first call
    texts: tuple[str, ...] = ()  # that it asks the prior about
    picture: Float[Tensor, "4 H W"] | None = None  # what the last cloud was made of: rgb and alpha in [0, 1]

    @abstractmethod
    def ask(self, prior: Prior) -> None:
        """Set the run's prior."""


@runtime_checkable
class Representation(Protocol):
    """A scene with its own optimisers. It is an nn.Module in practice, but nothing here relies on that."""

    starts_at_points: bool = True  # the points it is given are where its surface is at first
    sizes: tuple[str, ...] = ()  # options on which the meaning of its parameters depends

    @abstractmethod
    def render(self, cameras: Cameras) -> Render:
        """The images of V cameras, with the autograd graph unless gradients are disabled."""

    @abstractmethod
    def scene(self) -> Scene: ...
    @abstractmethod
    def step(self) -> None:
        """Apply the accumulated gradients, then densify and prune; gradients are cleared."""

    def finish(self, seen: Sequence[Cameras]) -> None:
        """After the last step: remove what no view shows. `seen` are the views of the last steps."""
        return None

    def shape_parameters(self) -> Sequence[Tensor]:
        """The leaves that hold the geometry of the scene just rendered, on which `gsd.shares` measures gradients."""
        return ()

    def vitals(self) -> dict[str, Tensor]:
        """Scalars worth a line in metrics.jsonl; not finite if any parameter is not."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit: tensors, numbers and strings only."""

    def restore(self, state: dict[str, Any]) -> None: ...

    def adopt(self, state: dict[str, Any]) -> None:
        """Start as the scene of another run, of the same class and `sizes`, whose state this is; the optimiser stays
        fresh. Raises GsdError where the class cannot."""
        raise GsdError(
            f"{type(self).__name__} cannot start from another run's scene; give it a method adopt, or start from the "
            "points of its scene.ply: init=point_cloud init.path=RUN_FOLDER/scene.ply."
        )


@runtime_checkable
class Converts(Protocol):
    """A class of representations that takes over the scene of another class, or a `gsd.meshing.loaded.LoadedMesh`;
    others start at its points."""

    @classmethod
    @abstractmethod
    def converted(cls, scene: Any, options: dict[str, Any], count: int, context: Context, rng: Stream) -> PointCloud:
        """`count` points of the scene's surface, and under `whole` what `adopt` of a scene with these options takes."""


@runtime_checkable
class NeedsKernels(Protocol):
    """A class whose objects run what is compiled on a machine's first run."""

    @staticmethod
    def prepare(device: torch.device, options: dict[str, Any]) -> None:
        """Find or compile it, before anything large is loaded. Raises GsdError where neither is possible."""


@runtime_checkable
class OfField(Protocol):
    """A scene that is a density field."""

    def field(self, xyz: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, " N"], Float[Tensor, "N 3"]]:
        """Density (per world unit) and rgb of world points."""


@runtime_checkable
class OfGaussians(Protocol):
    """A scene of 3D Gaussians."""

    def splats(self) -> Any:
        """A `gsd.rasterizer.ply.Splats`."""


@runtime_checkable
class OfMesh(Protocol):
    """A scene that is a mesh with a texture."""

    def mesh(self) -> Any:
        """A `gsd.meshing.mesh.TexturedMesh`, on the CPU."""


@runtime_checkable
class Densifier(Protocol):
    """Grows and prunes Gaussians. Called after optimizer.step() and before the gradients are cleared.

    It works on a dict of parameters (means, quats wxyz, log_scales, opacity_logits and any other with one row per
    Gaussian), the Adam optimiser that holds each in a group with that `name`, and the ids of the Gaussians. A Gaussian
    that stays keeps its id and the optimiser's moments; every new one gets an id never used before and zero moments.
    Parameters are replaced, not changed in place, because an earlier step's graph may still be alive.
    """

    @abstractmethod
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
    """A frozen image model in sigma space.

    A class attribute `light = True` says that making it loads no model: it is then made before everything that does.
    """

    guidance_scale: float | None = None  # suited to it in score distillation; None: the usual one of each method
    random_background: float = 0.0  # suited to it: fraction of training steps in which scenes lie over a random colour
    views: int | None = None  # of a group, where its class denoises all of them together; None: each on its own

    def encode(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V C h w"]:
        """Images to latents, keeping the graph."""

    def decode(self, z: Float[Tensor, "V C h w"]) -> Float[Tensor, "V 3 H W"]: ...

    def noise_levels(self) -> tuple[float, float]:
        """The lowest and the highest sigma of what it was made for; a sampler goes from the second to the first."""
        return 0.01, 80.0

    def log_sigmas(self) -> Float[Tensor, " T"]:
        """log of the noise levels that score distillation with it goes through, ascending: of its training steps."""
        return vp_sigmas().double().log()

    def shift(self) -> float:
        """Of a rectified flow's levels, sigma = shift t / (1 - t), towards more noise."""
        return 1.0

    def denoise(
        self, x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"], condition: Condition
    ) -> Float[Tensor, "V C h w"]:
        """D(x; sigma, y), the expected clean latents given x = z + sigma n."""


@runtime_checkable
class FindsFiles(Protocol):
    """A class whose objects are made of large files."""

    @classmethod
    @abstractmethod
    def find(cls, context: Context, **options: Any) -> Any:
        """What its constructor begins with: where the files are. Raises GsdError for those that are missing or cannot
        be used, before any of them is loaded."""


@runtime_checkable
class Prompting(Protocol):
    """From cameras to texts."""

    texts: tuple[str, ...]  # all that a run may use, negative prompts included, so that a prior embeds them in advance

    @abstractmethod
    def __call__(self, cameras: Cameras) -> Condition: ...


@runtime_checkable
class ReadsTexts(Protocol):
    """A prior that embeds all texts of a run at once, before the first step, and then frees its text encoder."""

    def prepare(self, texts: Iterable[str]) -> None: ...


@runtime_checkable
class ConditionsOnPoints(Protocol):
    """A prior that is conditioned on the points a run starts from; called before the first step.

    None: on the text alone, as before it is called.
    """

    def condition_on(self, points: PointCloud | None) -> None: ...


@runtime_checkable
class Noising(Protocol):
    claims: frozenset[NoiseClaim] = frozenset()  # "white" and "unit" together: every map is N(0, I) on its own
    independent: bool = False  # whether maps depend on nothing but the stream
    max_views: int | None = None  # of a group; None: any number
    sqrt_beta: float = 1.0  # maps are blended with fresh noise, which scales what views share by sqrt_beta^2

    @abstractmethod
    def __call__(self, geometry: Geometry, channels: int, rng: Stream) -> Float[Tensor, "V C h w"]:
        """Noise maps; how they depend on each other is the method. Views of a group are neighbours, anchor first."""

    def reaches(self, geometry: Geometry, rng: Stream) -> Bool[Tensor, "V 1 h w"] | None:
        """The pixels whose noise comes from points on the surface, which other views may see; None: not from points."""
        return None

    def operator(self, geometry: Geometry, rng: Stream) -> Float[Tensor, "R M"] | None:
        """The sparse float64 matrix A of maps = A values, on the CPU, for independent N(0, 1) values, before any blend.

        Rows are the pixels, numbered by view, row and column. None where there is no such matrix at hand.
        """
        return None


@runtime_checkable
class Guidance(Protocol):
    draws_own_noise: bool = False  # then pairing it with a noising that is not independent is refused
    texts: tuple[str, ...] = ()  # that it asks about besides those of the prompting
    view_scale: Schedule = 0.0  # of view guidance, which needs a prompting with view words
    camera: bool = False  # whether the network that it trains is told the cameras by a new embedding

    @abstractmethod
    def __call__(self, prior: Prior, given: Noised) -> Score:
        """What the prior says of the noised latents, as a descent direction for the latents."""


@runtime_checkable
class Adapts(Protocol):
    """A guidance that trains something on the prior's own network. It then has state(), restore() and vitals() too."""

    def attach(self, prior: Prior, rng: Stream) -> None:
        """Called once, before the first step. Raises GsdError if the prior has no network."""


@runtime_checkable
class Loss(Protocol):
    """A term of the objective beside the score; weight(step) multiplies it."""

    weight: Weight
    least_views: int = 1  # of a group

    @abstractmethod
    def __call__(self, state: StepState) -> Float[Tensor, ""]: ...


@runtime_checkable
class Metric(Protocol):
    @abstractmethod
    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]: ...


@runtime_checkable
class Learns(Protocol):
    """What changes in a run and belongs into its checkpoints: a representation, a guidance that trains a network."""

    def vitals(self) -> dict[str, Tensor]:
        """Scalars worth a line in metrics.jsonl; not finite if any parameter is not."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit: tensors, numbers and strings only."""

    def restore(self, state: dict[str, Any]) -> None: ...
