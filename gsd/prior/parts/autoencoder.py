"""Images to latents and back, by an autoencoder of diffusers."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from gsd.errors import GsdError


class Autoencoder:
    """Latents as the networks of diffusers see them: z = scale (mean - shift), per channel where the config says so.

    vae     AutoencoderKL, of which the mean is taken, or AutoencoderDC. It runs in the precision of its weights.
    chunk   images encoded at a time; with more, activations are recomputed in the backward pass.
    """

    def __init__(self, vae: Any, resolution: int, chunk: int) -> None:
        self.vae, self.resolution, self.chunk = vae, resolution, chunk
        config, like = vae.config, next(vae.parameters())

        def per_channel(name: str, usual: float) -> Float[Tensor, "C 1 1"]:
            value = usual if config.get(name) is None else config[name]
            return torch.as_tensor(value, dtype=torch.float64, device=like.device).view(-1, 1, 1)

        self.scale = config["scaling_factor"] / per_channel("latents_std", 1.0)
        self.shift = per_channel("latents_mean", config.get("shift_factor") or 0.0)

    def encode(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V C h w"]:
        """Latents of images in [0, 1], with graph, in the precision of the images."""
        if rgb.shape[-1] != self.resolution or rgb.shape[-2] != self.resolution:
            rgb = interpolate(rgb, (self.resolution, self.resolution), mode="bilinear", antialias=True)
        images = (2 * rgb - 1).to(self.vae.dtype)
        if len(images) <= self.chunk:
            values = self._mean(images)
        else:
            values = torch.cat([checkpoint(self._mean, part, use_reentrant=False) for part in images.split(self.chunk)])
        return self.scale.to(rgb) * (values.to(rgb) - self.shift.to(rgb))

    def _mean(self, images: Float[Tensor, "V 3 R R"]) -> Float[Tensor, "V C h w"]:
        found = self.vae.encode(images)
        return found.latent_dist.mean if hasattr(found, "latent_dist") else found.latent

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "V C h w"]) -> Float[Tensor, "V 3 R R"]:
        """Images in [0, 1]."""
        parts = (z / self.scale.to(z) + self.shift.to(z)).to(self.vae.dtype).split(self.chunk)
        return (torch.cat([self.vae.decode(part).sample for part in parts]).to(z) / 2 + 0.5).clamp(0, 1)


def resolution_of(
    network: Any, vae: Any, resolution: int | None, model: str, sample_size: int | None = None, patch: int | None = None
) -> int:
    """Pixels of the images.

    Args:
        network: config of what denoises.
        vae: config of the autoencoder.
        resolution: what the user wants; None: what the network was trained at.
        model: its name, for messages.
        sample_size: of latents, where the network's config has none.
        patch: latents to a side of a transformer's token, where its config does not say it.

    Raises:
        GsdError: for a size of which latents cannot be halved or cut into patches as often as the network does, and for
            more patches than it has places for.
    """
    factor = 2 ** (len(vae.get("encoder_block_out_channels") or vae["block_out_channels"]) - 1)
    resolution = resolution or factor * (sample_size or network["sample_size"])
    halved = "block_out_channels" in network
    whole = factor * (2 ** (len(network["block_out_channels"]) - 1) if halved else patch or network["patch_size"])
    if resolution % whole:
        near = max(whole, round(resolution / whole) * whole)
        raise GsdError(f"prior.resolution={resolution}: {model} needs a multiple of {whole}, such as {near}.")
    most = whole * (network.get("pos_embed_max_size") or resolution)
    if resolution > most:
        raise GsdError(f"prior.resolution={resolution}: {model} takes at most {most}; set prior.resolution={most}.")
    return resolution
