"""Low-rank adapters on a prior's network, which learn what the renders look like from each camera.

They lie on the prior's own network and are on only while `Lora.on()` lasts. They are attached when the parts of a run
are made, initialised from the run's seed, and checkpointed with the scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsd.backend.adapters import active, attach, switch
from gsd.errors import GsdError
from gsd.random import Stream
from gsd.types import Cameras, Condition

ADAPTER = "vsd"
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
        labels: Float[Tensor, "V P"] | None = None,
    ) -> Float[Tensor, "V C h w"]: ...


class Lora:
    """The network with LoRA (through peft) and, with `camera`, a class embedding of the camera.

    Both start as identities: LoRA's second matrices and the embedding's last layer are 0. They are on only inside
    `on()`; outside, the prior is unchanged bit for bit. Parameters are float32 whatever the network's precision.
    """

    def __init__(self, prior: HasNetwork, rank: int, camera: bool, rng: Stream) -> None:
        from diffusers.models.embeddings import TimestepEmbedding

        self.prior, network = prior, prior.network
        if camera and not hasattr(network, "class_embedding"):
            raise GsdError(
                f"guidance.camera=true: a {type(network).__name__} takes no embedding of the camera; "
                "set guidance.camera=false."
            )
        self.kept = active(network)  # the user's, which stay
        self.params, self.camera = attach(network, ADAPTER, rank, rng.key()), None
        if camera:
            with torch.random.fork_rng(devices=[]):  # the layers are made on the CPU
                torch.manual_seed(rng.sub("camera").key())
                self.camera = TimestepEmbedding(POSE, network.time_embedding.linear_2.out_features)
            nn.init.zeros_(self.camera.linear_2.weight)
            nn.init.zeros_(self.camera.linear_2.bias)
            self.camera.to(prior.device)
            self.params |= {f"camera.{name}": p for name, p in self.camera.named_parameters()}
        switch(network, self.kept)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Switch the adapters on; inside, gradients reach their parameters."""
        network = self.prior.network
        switch(network, [*self.kept, ADAPTER])
        own = getattr(network, "class_embedding", None)
        if self.camera is not None:
            network.class_embedding = self.camera
        try:
            yield
        finally:
            if self.camera is not None:
                network.class_embedding = own
            switch(network, self.kept)


def poses(cameras: Cameras) -> Float[Tensor, "V 16"]:
    """Camera -> world matrices, row by row."""
    return torch.linalg.inv_ex(cameras.viewmats).inverse.flatten(1)  # inv would wait for the GPU
