"""What priors around a network of diffusers have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.prior.parts.autoencoder import Autoencoder
from gsd.prior.parts.noise_schedule import NoiseSchedule
from gsd.protocols import Prior
from gsd.types import Condition

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Latent(Prior):
    """Latents by an autoencoder, and D(x; sigma, y) by what a network says at its own step of its own schedule."""

    autoencoder: Autoencoder
    schedule: NoiseSchedule

    @abstractmethod
    def predict(
        self,
        x: Float[Tensor, "V C h w"],
        sigma: Float[Tensor, " V"],
        condition: Condition,
    ) -> Float[Tensor, "V C h w"]:
        """What the network itself says of x = z + sigma n, noise or velocity, with graph."""

    def encode(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V C h w"]:
        """Latents of images in [0, 1], with graph, in the precision of the images."""
        with fits("encoding"):
            return self.autoencoder.encode(rgb)

    def decode(self, z: Float[Tensor, "V C h w"]) -> Float[Tensor, "V 3 R R"]:
        """Images in [0, 1]."""
        with fits("decoding"):
            return self.autoencoder.decode(z)

    def noise_levels(self) -> tuple[float, float]:
        """Those of the first and the last training step."""
        ends = self.schedule.log_sigmas[[0, -1]].exp().tolist()
        return ends[0], ends[1]

    def log_sigmas(self) -> Float[Tensor, " T"]:
        """Of its training steps; a rectified flow's levels are Stable Diffusion's times the shift of its sampler."""
        flow = self.schedule.prediction == "flow"
        return super().log_sigmas() + math.log(self.shift()) if flow else self.schedule.log_sigmas

    def shift(self) -> float:
        return self.schedule.shift

    @torch.no_grad()
    def denoise(
        self, x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"], condition: Condition
    ) -> Float[Tensor, "V C h w"]:
        sigma = sigma.to(x)
        return self.schedule.denoised(self.predict(x, sigma, condition), x, sigma)


def number_type(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name != "fp32" and device.type == "cpu":
        raise GsdError(f"prior.dtype={name} needs a GPU; on a CPU use prior.dtype=fp32, or auto.")
    return DTYPES[name]


@contextmanager
def fits(doing: str) -> Iterator[None]:
    """Say what to lower when the GPU's memory is too small."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise GsdError(
            f"The GPU's memory is too small for {doing}; lower camera.groups, prior.encode_chunk or prior.resolution, "
            "or set prior.dtype=fp16."
        ) from error
