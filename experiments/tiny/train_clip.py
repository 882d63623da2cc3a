"""Train the small CLIP model behind metric=clip_view and metric=clip_score on the menagerie, on a CPU, in half an hour.

    python experiments/tiny/train_clip.py               # train, then write it to --to in fp16, in open_clip's layout
    python experiments/tiny/train_clip.py --export      # only write the averaged weights as they are now
    python experiments/tiny/train_clip.py --evaluate    # judge --to on individuals that it has never seen

The same command continues where it was stopped, with the same bits, like train_prior.py. --out holds the checkpoint,
the pictures and the learning curve.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clip_data as data
import torch
from clip_evaluate import evaluate
from jaxtyping import Float
from prior_data import make_tokenizer, tokens
from torch import Tensor
from torch.nn.functional import cross_entropy
from training import Training, begin, options, plot, publish, write

from gsd.random import Stream

PACKAGED = Path(__file__).resolve().parents[2] / "gsd" / "metric" / "tiny_clip"
BATCH, RATE, AVERAGING = 64, 1e-3, 0.998
PROMPT_TOKENS = 40  # a word of the captions is one token, any other its letters
HOTTEST = 100.0  # factor of the cosines, as in CLIP
PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


def architecture(tokenizer: Any) -> dict[str, Any]:
    """The smallest of OpenAI's convolutional kind for 64 pixels, and two layers for the text: 1.5 million parameters.

    The end of the text is named because this tokenizer pads with it.
    """
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": data.RESOLUTION, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
        "text_cfg": {
            "context_length": PROMPT_TOKENS,
            "vocab_size": len(tokenizer),
            "hf_tokenizer_name": "tokenizer.json",
            "width": 64,
            "heads": 4,
            "layers": 2,
            "pool_type": "eos",
            "eos_id": tokenizer.eos_token_id,
        },
    }


def training(folder: Path, steps: int) -> Training:
    """The model as it is now."""
    from open_clip import CLIP

    model = CLIP(**architecture(make_tokenizer(PROMPT_TOKENS)))
    return Training("clip", model, steps, RATE, folder, AVERAGING)


def objective(model: Any, bank: data.Bank, seed: int) -> Callable[[int], Float[Tensor, ""]]:
    """The contrastive loss of a step, in both directions, where several captions are true of a picture (UniCL, 2022).

    Captions of the same creature are not wrong of each other's pictures, as CLIP's own loss would have it.
    """
    batches, tokenizer = data.Batches(bank), make_tokenizer(PROMPT_TOKENS)
    mean, std = (torch.tensor(PREPROCESS[name])[:, None, None] for name in ("mean", "std"))

    def loss(step: int) -> Float[Tensor, ""]:
        rgb, captions, true = batches.draw(BATCH, Stream(seed, "clip", step).generator())
        images = model.encode_image((rgb - mean) / std, normalize=True)
        texts = model.encode_text(tokens([c.text for c in captions], tokenizer), normalize=True)
        logits = model.logit_scale.clamp(max=math.log(HOTTEST)).exp() * images @ texts.T
        return (_contrast(logits, true) + _contrast(logits.T, true.T)) / 2

    return loss


def _contrast(logits: Float[Tensor, "B K"], true: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Cross-entropy against the shares of truth; rows of which nothing is true are left out."""
    total = true.sum(1, keepdim=True)
    some = total[:, 0] > 0.05
    return cross_entropy(logits[some], (true / total.clamp_min(1e-8))[some])


def pictures(folder: Path, seed: int) -> data.Bank:
    """All pictures of the training, drawn once."""
    file = folder / "pictures.pt"
    if not file.exists():
        write(file, vars(data.bank(seed)))
    return data.Bank(**torch.load(file, weights_only=True))


def export(model: Any, to: Path) -> None:
    """In half precision, as open_clip reads it: open_clip.create_model_and_transforms("local-dir:FOLDER")."""
    from safetensors.torch import save_file

    tokenizer = make_tokenizer(PROMPT_TOKENS)
    tokenizer.save_pretrained(to)
    config = {"model_cfg": architecture(tokenizer), "preprocess_cfg": PREPROCESS}
    (to / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    save_file(weights, to / "open_clip_model.safetensors")
    publish(to)


def main() -> None:
    parser = options(__doc__, "clip", PACKAGED)
    parser.add_argument("--steps", type=int, default=6500)
    args = begin(parser)
    if args.evaluate:
        evaluate(args.to, args.out)
        return
    run = training(args.out, args.steps)
    if not args.export:
        run.advance(objective(run.model, pictures(args.out, args.seed), args.seed))
        plot(args.out, ("clip",))
    export(run.average, args.to)


if __name__ == "__main__":
    main()
