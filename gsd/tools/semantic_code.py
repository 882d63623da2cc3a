"""3DFuse's semantic code of a prompt: gsd semantic-code --keyword WORD --out FILE prompt=... prior=NAME [KEY=VALUE ...]

The prior draws pictures of the prompt (or takes yours, --images), learns a token for the keyword, the word that names
the object, and then a LoRA; what it learned goes into FILE.safetensors, which a run of the same prompt reads:

    gsd semantic-code --keyword corgi --out corgi.safetensors prompt="a corgi" prior=stable_diffusion
    gsd prompt="a corgi" prior=threefuse 'prior.semantic_code={file: corgi.safetensors}' ...

The code fits the prior.model that learned it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsd.backend.regular import regular
from gsd.cli.errors import guarded
from gsd.errors import GsdError

if TYPE_CHECKING:
    from omegaconf import DictConfig

VIEWS = ("front", "side", "back", "overhead")  # of 3DFuse's pictures


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd semantic-code", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keyword", required=True, help="the word of the prompt that names its object")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file; the pictures go beside it")
    parser.add_argument("--images", type=Path, nargs="+", help="pictures of the object, in the place of the prior's")
    parser.add_argument("--token-steps", type=int, default=500, help="of textual inversion (3DFuse: 500 to 800)")
    parser.add_argument("--lora-steps", type=int, default=500, help="of the LoRA (3DFuse: 500 to 800)")
    parser.add_argument("--rank", type=int, default=1, help="of the LoRA")
    parser.add_argument("overrides", nargs="*", help="as for run.py: prompt='a corgi' prior=tiny seed=1")
    args = parser.parse_intermixed_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from gsd.cli.hydra import compose
    from gsd.prior.parts.semantic_code import require_keyword
    from gsd.prior.parts.semantic_training import Training
    from gsd.validation import checked

    numbers = {"token_steps": args.token_steps, "lora_steps": args.lora_steps, "rank": args.rank}
    options = checked(Training, numbers, "", "Training")
    if args.out.suffix != ".safetensors":
        raise GsdError(f"--out {args.out}: give it the ending .safetensors.")
    missing = [file for file in args.images or [] if not file.is_file()]
    if missing:
        raise GsdError(f"--images {missing[0]}: no such file.")
    cfg = compose(*args.overrides)
    require_keyword(args.keyword, cfg.prompt, "--keyword")
    make_code(cfg, args.keyword, args.out, args.images, options)


def make_code(cfg: DictConfig, keyword: str, out: Path, images: list[Path] | None, options: Any) -> None:
    """Draw or read the pictures, learn the code and write it."""
    import torch

    from gsd.config import make
    from gsd.experiment import context_of
    from gsd.prior.parts.semantic_code import save
    from gsd.prior.parts.semantic_training import learn
    from gsd.prior.stable_diffusion import StableDiffusion
    from gsd.protocols import Prior
    from gsd.random import Stream

    if cfg.prior.get("dtype") == "auto":
        cfg.prior.dtype = "fp32"  # small gradients would be rounded to 0 in half precision
    context = context_of(cfg)
    prior = make(cfg.prior, "prior", context, Prior)
    if not isinstance(prior, StableDiffusion) or prior.views is not None:
        raise GsdError("A semantic code is learned by Stable Diffusion; set prior=stable_diffusion or prior=tiny.")
    rng = Stream(cfg.seed, "semantic code")
    if images:
        texts, pictures = [cfg.prompt] * len(images), [_opened(file, prior.resolution) for file in images]
    else:
        texts = [f"{cfg.prompt}, {view} view" for view in VIEWS]
        pictures = _drawn(prior, texts, cfg.prompt, rng, out)
    with torch.no_grad():
        z = prior.encode(torch.stack(pictures).to(context.device))
    learned = learn(prior, z, texts, keyword, options, rng, _tell)
    save(out, keyword, learned.embedding, learned.lora)
    print(f"A run of this prompt and prior.model reads it: 'prior.semantic_code={{file: {out}}}'")


def _drawn(prior: Any, texts: list[str], prompt: str, rng: Any, out: Path) -> list[Any]:
    """The prior's own pictures, which go beside the file, to be looked at."""
    import torch

    from gsd.backend.images import png
    from gsd.sampling import draw

    prior.prepare((*texts, prompt))
    pictures = [draw(prior, text, prompt, rng.sub(text), prior.device).cpu().float() for text in texts]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".png").write_bytes(png(torch.cat(pictures, 2)))
    print(f"learning {out.with_suffix('.png')}: {'; '.join(texts)}", flush=True)
    return pictures


def _opened(file: Path, resolution: int) -> Any:
    """RGB in [0, 1], over white where it is transparent, its middle square."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        picture = Image.open(regular(file)).convert("RGBA")
    except (UnidentifiedImageError, OSError) as error:
        raise GsdError(f"--images {file} is not a readable picture ({error}).") from error
    whole = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    square = ImageOps.fit(whole, (resolution, resolution))
    return torch.from_numpy(np.array(square, np.float32) / 255).permute(2, 0, 1)


def _tell(stage: str, step: int, loss: float) -> None:
    if step % 50 == 0:
        print(f"{stage} step {step}: loss {loss:.4f}", flush=True)


if __name__ == "__main__":
    main()
