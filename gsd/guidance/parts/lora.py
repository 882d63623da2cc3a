"""Low-rank adapters on a prior's network, which learn what the renders look like from each camera.

They lie on the prior's own network and are on only while `Lora.on()` lasts. They are attached when the parts of a run
are made, initialised from the run's seed, and checkpointed with the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsd.backend.adapters import attach, switch
from gsd.random import Stream
from gsd.types import Cameras, Condition

ADAPTER = "vsd"
TIME = ("time_embedding", "timestep_embedder")  # what UNets and transformers call the embedding of the time
POSE = 16  # numbers of a camera: its camera -> world matrix


class Schedule(Protocol):
    """How a network sees noised latents, as `gsd.prior.parts.noise_schedule.NoiseSchedule`."""

    log_sigmas: Float[Tensor, " T"]  # of the steps it was trained at

    def noise(
        self, out: Float[Tensor, "V C h w"], x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"]
    ) -> Float[Tensor, "V C h w"]: ...

    def target(
        self, z: Float[Tensor, "V C h w"], noise: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"]
    ) -> Float[Tensor, "V C h w"]: ...


@runtime_checkable
class HasNetwork(Protocol):
    """A prior with a network of diffusers, such as `gsd.prior.stable_diffusion`."""

    network: Any
    schedule: Schedule
    device: torch.device
    dtype: torch.dtype

    def predict(
        self,
        x: Float[Tensor, "V C h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
    ) -> Float[Tensor, "V C h w"]: ...


class Lora:
    """The network with LoRA (through peft) and, with `camera`, an embedding of the camera, added to that of the time.

    Both start as identities: LoRA's second matrices and the embedding's last layer are 0. They are on only inside
    `on()`; outside, the prior is unchanged bit for bit. Parameters are float32 whatever the network's precision.
    """

    def __init__(self, prior: HasNetwork, rank: int, camera: bool, rng: Stream) -> None:
        self.prior, network = prior, prior.network
        self.params = attach(network, ADAPTER, rank, rng.key())
        self.camera: Any = None
        self.pose: Float[Tensor, "V 16"] | None = None  # of the cameras of the network's next call
        if camera:
            self.camera = _joined(network, rng.sub("camera"), self._add_camera).to(prior.device)
            self.params |= {f"camera.{name}": p for name, p in self.camera.named_parameters()}
        switch(network, False)

    @contextmanager
    def on(self, pose: Float[Tensor, "V 16"] | None = None) -> Iterator[None]:
        """Switch the adapters on; inside, gradients reach their parameters. pose: what the network is told of the
        cameras of its V views."""
        network = self.prior.network
        switch(network, True)
        self.pose = pose
        try:
            yield
        finally:
            self.pose = None
            switch(network, False)

    def _add_camera(self, module: nn.Module, given: Any, time: Tensor) -> Tensor:
        return time if self.pose is None else time + self.camera(self.pose).to(time.dtype)


def _joined(network: Any, rng: Stream, add: Callable[..., Tensor]) -> nn.Module:
    """A new embedding of the camera, as wide as the network's of the time, whose output `add` is called with.

    UNets would take it as a class embedding too, with the same result; transformers have none.
    """
    from diffusers.models.embeddings import TimestepEmbedding

    named = network.named_modules()
    (time,) = (module for name, module in named if name.rpartition(".")[2] in TIME and hasattr(module, "linear_2"))
    with torch.random.fork_rng(devices=[]):  # the layers are made on the CPU
        torch.manual_seed(rng.key())
        camera = TimestepEmbedding(POSE, time.linear_2.out_features)
    nn.init.zeros_(camera.linear_2.weight)
    nn.init.zeros_(camera.linear_2.bias)
    time.register_forward_hook(add)  # once and for good: a compiled network does not look for hooks that come later
    return camera


def poses(cameras: Cameras) -> Float[Tensor, "V 16"]:
    """Camera -> world matrices, row by row."""
    return torch.linalg.inv_ex(cameras.viewmats).inverse.flatten(1)  # inv would wait for the GPU
