"""Train the depth ControlNet behind prior.controlnet=tiny on the menagerie, on a CPU, in half an hour to an hour.

    python experiments/tiny/train_controlnet.py               # train, then write it to --to in fp16
    python experiments/tiny/train_controlnet.py --export      # only write the averaged weights as they are now
    python experiments/tiny/train_controlnet.py --evaluate    # sample with and without it by plain diffusers, and judge

It begins as a copy of the encoder of --pipeline, whose networks stay as they are. The same command continues where it
was stopped, with the same bits, like train_prior.py. --data is that script's folder: images and latents that it holds
are not made again. --out holds the checkpoint and the learning curve.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import prior_data as data
import train_prior as prior
from controlnet_data import Pairs
from controlnet_evaluate import evaluate
from jaxtyping import Float
from prior_evaluate import load_pipeline
from torch import Tensor
from torch.nn.functional import mse_loss
from training import Training, begin, options, plot, ship

from gsd.random import Stream

PACKAGED = prior.PACKAGED.with_name("tiny_controlnet")
BATCH, RATE = 32, 5e-4
PICTURE_CHANNELS = (16, 32)  # on the way from 64 x 64 to the 32 x 32 of the latents


def frozen(pipeline: Path) -> Any:
    """The trained pipeline, whose parts stay as they are."""
    pipe = load_pipeline(pipeline)
    for part in (pipe.unet, pipe.text_encoder, pipe.vae):
        part.eval().requires_grad_(False)
    return pipe


def training(unet: Any, folder: Path, steps: int, start: Path | None) -> Training:
    """The ControlNet as it is now."""
    from diffusers import ControlNetModel

    model: Any = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=PICTURE_CHANNELS)
    if start is not None:
        model.load_state_dict(ControlNetModel.from_pretrained(start).float().state_dict())
    return Training("controlnet", model.train().requires_grad_(True), steps, RATE, folder)


def objective(pipe: Any, shown: prior.Pairs, model: Any, seed: int) -> Callable[[int], Float[Tensor, ""]]:
    """The denoising loss of a step: the ControlNet `model` sees the cloud, and the frozen UNet its residuals."""
    pairs, abar = Pairs(seed), prior.scheduler().alphas_cumprod

    def loss(step: int) -> Float[Tensor, ""]:
        rng = Stream(seed, "controlnet", step).generator()
        items, pictures = pairs.draw(BATCH, rng)
        noisy, t, velocity = prior.noised(shown.latents(items), abar, rng)
        text = pipe.text_encoder(data.tokens([item.caption for item in items], pipe.tokenizer))[0]
        down, mid = model(noisy, t, text, pictures, return_dict=False)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        return mse_loss(pipe.unet(noisy, t, encoder_hidden_states=text, **residuals).sample, velocity)

    return loss


def main() -> None:
    parser = options(__doc__, "controlnet", PACKAGED)
    parser.add_argument("--pipeline", type=Path, default=prior.PACKAGED, help="the trained pipeline it is for")
    parser.add_argument("--data", type=Path, default=Path("outputs/tiny_prior"), help="train_prior.py's --out")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--start", type=Path, help="a finished ControlNet to begin with, of an earlier pipeline")
    args = begin(parser)
    if args.evaluate:
        evaluate(args.pipeline, args.to, args.out)
        return
    pipe = frozen(args.pipeline)
    run = training(pipe.unet, args.out, args.steps, args.start)
    if not args.export:
        args.data.mkdir(parents=True, exist_ok=True)
        shown = prior.Pairs(prior.images(args.data), prior.latents(args.data, pipe.vae), pipe.vae)
        run.advance(objective(pipe, shown, run.model, args.seed))
        plot(args.out, ("controlnet",))
    ship(run.average.half(), args.to)


if __name__ == "__main__":
    main()
