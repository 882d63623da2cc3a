"""Train the small latent diffusion pipeline behind prior=tiny on the menagerie, on a CPU, in a few hours.

    python experiments/tiny/train_prior.py               # the autoencoder, then the UNet with the text encoder
    python experiments/tiny/train_prior.py --export      # write the averaged weights as they are now to --to, in fp16
    python experiments/tiny/train_prior.py --evaluate    # sample from --to with plain diffusers and judge the samples
    python experiments/tiny/train_prior.py --start FOLDER   # begin with a finished model's weights
    python experiments/tiny/train_prior.py --start gsd/prior/tiny --vae-steps 0 --flow    # prior=tiny_flow

The first command again continues where it was stopped (SIGINT, SIGTERM, or the last checkpoint, at most three minutes
old). Everything is a function of (seed, step), so a training that was stopped, however often, ends with the same bits.
The learning rate falls over the last 30 % of --unet-steps; a larger number later raises it again. With --flow the UNet
learns the velocity of straight lines from data to noise (rectified flow) in place of the one of Stable Diffusion 2.1.
--out holds the checkpoints, the cached images and latents, and the learning curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import prior_data as data
import torch
from jaxtyping import Float, Int, UInt8
from prior_evaluate import evaluate
from prior_networks import PROMPT_TOKENS, SCALING, Denoiser, flow_scheduler, pipeline, scheduler, vae
from prior_starts import start_from_colours, take_autoencoder, take_weights
from torch import Tensor
from torch.nn.functional import interpolate, l1_loss, mse_loss
from training import Training, begin, options, plot, ship, write

from gsd.random import Stream

PACKAGED = Path(__file__).resolve().parents[2] / "gsd" / "prior" / "tiny"
VAE_BATCH, VAE_RATE, VAE_KL = 8, 1e-3, 5e-4
CROP, CROPPED = 32, 0.8  # pixels; the part of the autoencoder's steps that see crops from the middle of the images
UNET_BATCH, UNET_RATE = 32, 6e-4
FINE_RATE = 3e-4  # of a UNet that is trained already


def train_vae(folder: Path, steps: int, seed: int, start: Path | None) -> Any:
    """The trained autoencoder; over white its latents have mean 0 and standard deviation 1 / SCALING."""
    file = folder / "vae_final.pt"
    model = vae()
    if file.exists():
        model.load_state_dict(torch.load(file, weights_only=True))
        return model.eval()
    pictures = images(folder)
    if start is None:
        start_from_colours(model, pictures[:: max(1, len(pictures) // 200), :3].float() / 127.5 - 1)
    else:
        take_autoencoder(model, start)
    training = Training("vae", model, steps, VAE_RATE if start is None else FINE_RATE, folder)

    def loss(step: int) -> Float[Tensor, ""]:
        rng = Stream(seed, "vae", step).generator()
        drawn = pictures[torch.randint(len(pictures), (VAE_BATCH,), generator=rng)]
        rgb = _varied(data.over(drawn, _grounds(VAE_BATCH, rng)), rng)
        if step < CROPPED * steps:  # a quarter of the work
            top, left = torch.randint(8, 57 - CROP, (2,), generator=rng).tolist()
            rgb = rgb[:, :, top : top + CROP, left : left + CROP]
        posterior = model.encode(rgb).latent_dist
        z = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=rng)
        out = model.decode(z).sample
        divergence = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return l1_loss(out, rgb) + 4 * mse_loss(out, rgb) + VAE_KL * divergence

    training.advance(loss)
    model = training.average.eval()
    _normalise(model, _encode(model, pictures[:: max(1, len(pictures) // 4000)]))
    write(file, model.state_dict())
    return model


def _grounds(count: int, rng: torch.Generator) -> Float[Tensor, "count 3"]:
    """White, or as often as the UNet's captions say any other colour."""
    any_colour = torch.rand(count, 3, generator=rng)
    return torch.where(torch.rand(count, 1, generator=rng) < data.COLOURED, any_colour, 1.0)


def images(folder: Path) -> UInt8[Tensor, "M 4 R R"]:
    """All images of the menagerie with their alpha, rendered once."""
    file = folder / "images.pt"
    if not file.exists():
        write(file, data.images())
    return torch.load(file, weights_only=True)


def _varied(rgb: Float[Tensor, "B 3 R R"], rng: torch.Generator) -> Float[Tensor, "B 3 R R"]:
    """Images in [-1, 1]; a quarter of them unlike the menagerie, as renders are while a scene is still forming."""
    for i in range(len(rgb) // 4):
        kind = int(torch.randint(4, (), generator=rng))
        if kind == 0:  # other colours, mirrored
            rgb[i] = rgb[i][torch.randperm(3, generator=rng)].flip(-1)
        elif kind == 1:  # out of focus
            size = int(torch.randint(8, 33, (), generator=rng))
            rgb[i : i + 1] = interpolate(
                interpolate(rgb[i : i + 1], size, mode="area"), data.RESOLUTION, mode="bilinear"
            )
        elif kind == 2:  # two at once, faint
            rgb[i] = torch.lerp(rgb[i], rgb[-1 - i], float(torch.rand((), generator=rng)))
        else:  # elsewhere, on another ground
            ground = torch.rand(3, 1, 1, generator=rng) * 2 - 1
            shift = torch.randint(-20, 21, (2,), generator=rng).tolist()
            rgb[i] = torch.lerp(rgb[i], ground, float(torch.rand((), generator=rng))).roll(shift, (-2, -1))
    return rgb


@torch.no_grad()
def _encode(model: Any, pictures: UInt8[Tensor, "M 4 R R"]) -> Float[Tensor, "M 4 r r"]:
    """The means of the latents over white, before scaling."""
    return torch.cat([model.encode(part[:, :3].float() / 127.5 - 1).latent_dist.mean for part in pictures.split(64)])


@torch.no_grad()
def _normalise(model: Any, z: Float[Tensor, "M 4 r r"]) -> None:
    """Fold an affine map of the latent channels into the 1 x 1 convolutions around them; decoded images stay as is."""
    mean, scale = z.mean((0, 2, 3)), 1 / (SCALING * z.std((0, 2, 3)))
    into, out = model.quant_conv, model.post_quant_conv
    channels = len(mean)
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight /= scale[None, :, None, None]
    into.bias[:channels] = (into.bias[:channels] - mean) * scale
    into.weight[:channels] *= scale[:, None, None, None]
    into.bias[channels:] += 2 * scale.log()


def latents(folder: Path, model: Any) -> Float[Tensor, "M 4 r r"]:
    """Every image's latents, scaled as the UNet sees them, cached: the UNet's training never runs the autoencoder."""
    file = folder / "latents.pt"
    if not file.exists():
        pictures = images(folder)
        z = SCALING * _encode(model, pictures)
        error = [_reconstruction_error(model, z[i : i + 64], pictures[i : i + 64, :3]) for i in range(0, len(z), 6400)]
        psnr = -10 * math.log10(sum(error) / len(error))
        print(
            f"latents: mean {float(z.mean()):.3f}, std {float(z.std()):.3f}, reconstruction {psnr:.1f} dB", flush=True
        )
        write(file, z.half())
    return torch.load(file, weights_only=True).float()


@torch.no_grad()
def _reconstruction_error(model: Any, z: Float[Tensor, "B 4 r r"], pictures: UInt8[Tensor, "B 3 R R"]) -> float:
    """Mean squared error in [0, 1]."""
    rgb = (model.decode(z / SCALING).sample / 2 + 0.5).clamp(0, 1)
    return float((rgb - pictures.float() / 255).square().mean())


@dataclass(frozen=True)
class Pairs:
    """What the UNet is shown: captions, and latents of the pictures they describe."""

    pictures: UInt8[Tensor, "M 4 R R"]
    z: Float[Tensor, "M 4 r r"]  # of all pictures over white
    autoencoder: Any
    captions: data.Captions = field(default_factory=data.Captions)

    def draw(self, count: int, rng: torch.Generator) -> tuple[list[str], Float[Tensor, "count 4 r r"]]:
        items = [self.captions.draw(rng) for _ in range(count)]
        return [item.caption for item in items], self.latents(items)

    @torch.no_grad()
    def latents(self, items: list[data.Item]) -> Float[Tensor, "B 4 r r"]:
        """Each over its own background."""
        clean = self.z[torch.tensor([item.image for item in items])]
        coloured = [i for i, item in enumerate(items) if item.background != (1.0, 1.0, 1.0)]
        if coloured:
            images = torch.tensor([items[i].image for i in coloured])
            rgb = data.over(self.pictures[images], torch.tensor([items[i].background for i in coloured]))
            clean[coloured] = SCALING * self.autoencoder.encode(rgb).latent_dist.mean
        return clean


def train_unet(folder: Path, steps: int, seed: int, pairs: Pairs | None, start: Path | None, flow: bool) -> Training:
    """The UNet and the text encoder, trained together; with pairs None, as the last checkpoint has them."""
    tokenizer = data.make_tokenizer(PROMPT_TOKENS)
    model = Denoiser(tokenizer)
    if start is not None:
        take_weights(model, tokenizer, start)
    training = Training("unet", model, steps, UNET_RATE if start is None else FINE_RATE, folder)
    if pairs is None:
        return training
    abar = scheduler().alphas_cumprod

    def loss(step: int) -> Float[Tensor, ""]:
        rng = Stream(seed, "unet", step).generator()
        captions, clean = pairs.draw(UNET_BATCH, rng)
        noisy, t, velocity = flowed(clean, rng) if flow else noised(clean, abar, rng)
        return mse_loss(model(noisy, t, data.tokens(captions, tokenizer)), velocity)

    training.advance(loss)
    return training


def noised(
    clean: Float[Tensor, "B 4 h w"], abar: Float[Tensor, " T"], rng: torch.Generator
) -> tuple[Float[Tensor, "B 4 h w"], Int[Tensor, " B"], Float[Tensor, "B 4 h w"]]:
    """Latents with noise, their steps t, and the velocity to be predicted.

    One t in each of B equal parts of the range: fewer chances in the loss than independent ones.
    """
    count = len(clean)
    t = ((torch.arange(count) + torch.rand(count, generator=rng)) * (len(abar) / count)).long()
    noise = torch.randn(clean.shape, generator=rng)
    signal_share, noise_share = abar[t].sqrt()[:, None, None, None], (1 - abar[t]).sqrt()[:, None, None, None]
    return signal_share * clean + noise_share * noise, t, signal_share * noise - noise_share * clean


def flowed(
    clean: Float[Tensor, "B 4 h w"], rng: torch.Generator
) -> tuple[Float[Tensor, "B 4 h w"], Float[Tensor, " B"], Float[Tensor, "B 4 h w"]]:
    """Points (1 - t) clean + t noise on straight lines, the steps 1000 t, and the velocity noise - clean."""
    count = len(clean)
    t = (torch.arange(count) + torch.rand(count, generator=rng)) / count
    noise = torch.randn(clean.shape, generator=rng)
    return torch.lerp(clean, noise, t[:, None, None, None]), 1000 * t, noise - clean


def export(folder: Path, to: Path, flow: bool) -> None:
    """The averaged weights as a diffusers pipeline in half precision."""
    autoencoder = vae()
    autoencoder.load_state_dict(torch.load(folder / "vae_final.pt", weights_only=True))
    denoiser: Any = train_unet(folder, 0, 0, None, None, flow).average
    tokenizer = data.make_tokenizer(PROMPT_TOKENS)
    levels = flow_scheduler() if flow else scheduler()
    ship(pipeline(autoencoder.half(), denoiser.unet.half(), denoiser.text_encoder.half(), tokenizer, levels), to)


def main() -> None:
    parser = options(__doc__, "prior", PACKAGED)
    parser.add_argument("--vae-steps", type=int, default=5000)
    parser.add_argument("--unet-steps", type=int, default=11000)
    parser.add_argument("--start", type=Path, help="a finished model whose weights are the beginning")
    parser.add_argument("--flow", action="store_true", help="learn rectified flow")
    args = begin(parser)
    if args.evaluate:
        evaluate(args.to, args.out)
        return
    if not args.export:
        autoencoder = train_vae(args.out, args.vae_steps, args.seed, args.start)
        pairs = Pairs(images(args.out), latents(args.out, autoencoder), autoencoder)
        train_unet(args.out, args.unet_steps, args.seed, pairs, args.start, args.flow)
        plot(args.out, ("vae", "unet") if args.vae_steps else ("unet",))
    export(args.out, args.to, args.flow)


if __name__ == "__main__":
    main()
