"""What a whole step costs: every guidance and noising, GSD against SDS, and a step as it is usually written.

    python experiments/benchmarks/step.py [--scale tiny|menagerie|sd] [--steps 30] [--only WORD ...] [OVERRIDE ...]

All methods take turns, step by step, in one process, so that a machine whose speed drifts treats them alike. Times are
medians over the steps; a ratio is the median of the ratios of steps that were neighbours in time. The memory is that of
the first steps in a process of their own, set-up included (on CUDA: the most that was allocated).

Scale: tiny is prior=tiny; sd is Stable Diffusion 2.1's architecture with random weights (needs a GPU to be of use);
menagerie the exact prior, which is so cheap that everything else shows. Guidance is classifier-free but for menagerie.

"usual sds" is the step of the common frameworks: latents drawn from the encoder's posterior, the two branches of
guidance asked one after the other, and the latents decoded for a picture that the step does not need.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench
import torch

from gsd.backend.cache import cache_folder
from gsd.backend.checkpoint import TINY
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.cli.hydra import compose, plain
from gsd.experiment import Experiment, build
from gsd.loop import take_step
from gsd.results.markdown import table
from gsd.types import Condition

PLAIN = ("noising=random", "loss=none")
METHODS = {
    "sds": PLAIN,
    "usual sds": PLAIN,
    "consistent noise": ("noising=consistent", "loss=none"),
    "consistency loss": ("noising=random", "loss=[consistency]"),
    "gsd": ("noising=consistent", "loss=[consistency]"),
    **{f"guidance {name}": (f"guidance={name}", *PLAIN) for name in ("sjc", "csd", "nfsd", "ism", "sdi", "vsd")},
    **{
        f"noising {name}": (f"noising={name}", "loss=none")
        for name in ("nearest", "bilinear", "split_nearest", "integral", "lattice")
    },
}
NEED_NETWORK = ("guidance vsd", "usual sds")  # which the menagerie is not
SCALED = ("sds", "sjc", "csd", "nfsd", "ism", "vsd")  # guidances with a guidance_scale of their own
GUIDANCE_SCALE = 7.5
WARM_UP = 5  # steps: compilation, caches, the first shape of the scene


def main() -> None:
    parser = bench.parser(__doc__, "step")
    parser.add_argument("--scale", choices=("tiny", "menagerie", "sd"), default="tiny")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", nargs="+", default=list(METHODS), help="some of the methods; sds is always there")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)  # how `memory_apart` calls this script
    parser.add_argument("overrides", nargs="*", help="applied to every method, for example camera.groups=4")
    args = parser.parse_args()
    if args.memory_of:
        print(peak_memory(args.memory_of, args.scale, args.overrides))
        return
    names = [name for name in METHODS if name == "sds" or name in args.only]
    if args.scale == "menagerie":
        names = [name for name in names if name not in NEED_NETWORK]
    rows = measure({name: stepper(name, args.scale, args.overrides) for name in names}, args.steps)
    for name, row in rows.items():
        row["memory_mb"] = memory_apart(name, args.scale, args.overrides)
    bench.publish(args.out, {"arguments": vars(args), "rows": rows}, as_table(rows))


def stepper(name: str, scale: str, overrides: list[str]) -> Callable[[int], int]:
    """A function that takes the n-th step of a method and returns the images its prior denoised."""
    options = [*METHODS[name], *overrides]
    if scale == "sd":
        options += ["prior=stable_diffusion", f"prior.model={random_stable_diffusion()}", "camera.resolution=512"]
    elif scale == "tiny":
        options += ["prior=tiny"]
    guidance = next((o.split("=")[1] for o in options if o.startswith("guidance=")), "sds")
    if scale != "menagerie" and guidance in SCALED:
        options += [f"guidance.guidance_scale={GUIDANCE_SCALE}"]
    experiment = build(plain(compose(*options)))
    if name == "usual sds":
        return lambda step: usual_step(experiment, step)
    return lambda step: take_step(experiment, step).score.prior_calls


def random_stable_diffusion() -> Path:
    """The folder of a checkpoint of Stable Diffusion 2.1's architecture with random weights, made at the first call.

    It is as slow as the real one, and not on the hub: 1.9 GB, half precision, the text encoder with one layer of the
    23. The sizes are those of the published configuration files.
    """
    folder = cache_folder() / "random_stable_diffusion"
    if (folder / "model_index.json").exists():
        return folder
    mend_torchvision()
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(TINY / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=4096,
        projection_dim=512,
        num_hidden_layers=1,
        num_attention_heads=16,
        max_position_embeddings=77,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        sample_size=768,
    )
    unet = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
    )
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)
    return folder


def usual_step(e: Experiment, step: int) -> int:
    """Score distillation as it is usually written; the same cameras, noise levels and weight as ours."""
    prior: Any = e.prior
    cameras = e.camera(e.stream("camera", step)).to(e.device)
    sigma = e.sigma(cameras, e.stream("sigma", step))
    level = sigma[:, None, None, None]
    rgb = e.representation.render(cameras).rgb
    z = (
        prior.autoencoder.vae.encode((2 * rgb - 1).to(prior.dtype)).latent_dist.sample().to(rgb)
        * prior.autoencoder.scale
    )
    told = e.prompting(cameras)
    with torch.no_grad():
        noise = torch.randn_like(z)
        x = z + level * noise
        branches = [prior.denoise(x, sigma, condition) for condition in (Condition(("",) * len(x)), told)]
        without, text = ((x - branch) / level for branch in branches)
        eps = without + GUIDANCE_SCALE * (text - without)
        prior.decode(z)
        gradient = level**2 / (1 + level**2) * (eps - noise)
        target = z - gradient
    (0.5 * torch.nn.functional.mse_loss(z, target, reduction="sum") / len(z)).backward()
    e.representation.step()
    return 2 * len(z)


def measure(methods: dict[str, Callable[[int], int]], steps: int) -> dict[str, dict[str, float]]:
    """Prior calls, median ms of a step by the wall clock and by the processor, and ratios to sds."""
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    for step in range(WARM_UP + steps):
        for name, take in methods.items():
            began, busy = now(), time.process_time()
            asked = take(step)
            taken[name].append((asked, 1e3 * (now() - began), 1e3 * (time.process_time() - busy)))
    calls, wall, cpu = ({name: [row[k] for row in rows[WARM_UP:]] for name, rows in taken.items()} for k in range(3))
    return {
        name: {
            "prior_calls": statistics.mean(calls[name]),
            "wall_ms": statistics.median(wall[name]),
            "cpu_ms": statistics.median(cpu[name]),
            "wall_ratio": paired(wall[name], wall["sds"]),
            "cpu_ratio": paired(cpu[name], cpu["sds"]),
        }
        for name in methods
    }


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def paired(mine: list[float], base: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(mine, base, strict=True))


def memory_apart(name: str, scale: str, overrides: list[str]) -> float:
    """peak_memory in a process of its own, MB."""
    return bench.apart(__file__, "--scale", scale, "--memory-of", name, *overrides)


def peak_memory(name: str, scale: str, overrides: list[str]) -> float:
    """The most memory that the first steps of a method needed, MB."""
    take = stepper(name, scale, overrides)
    for step in range(WARM_UP):
        take(step)
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else bench.memory_mb()


def as_table(rows: dict[str, dict[str, float]]) -> str:
    return table([
        {
            "step": name, "prior calls": f"{row['prior_calls']:.1f}", "wall ms": f"{row['wall_ms']:.1f}",
            "CPU ms": f"{row['cpu_ms']:.1f}", "wall / sds": f"{row['wall_ratio']:.2f}",
            "CPU / sds": f"{row['cpu_ratio']:.2f}", "memory MB": f"{row['memory_mb']:.0f}",
        }
        for name, row in rows.items()
    ])  # fmt: skip


if __name__ == "__main__":
    main()
