"""What a whole step costs: every guidance and noising, GSD against SDS, and a step as it is usually written.

    python experiments/benchmarks/step.py [--scale tiny|menagerie|sd] [--steps 30] [--only WORD ...] [OVERRIDE ...]

All methods take turns, step by step, in one process, so that a machine whose speed drifts treats them alike. Times are
medians over the steps; a ratio is the median of the ratios of steps that were neighbours in time. The memory is that of
the first steps in a process of their own, set-up included (on CUDA: the most that was allocated).

Scale: tiny is prior=tiny; sd is Stable Diffusion 2.1's architecture with random weights and 100,000 Gaussians (needs a
GPU to be of use; init.points=N takes others); menagerie the exact prior, which is so cheap that everything else shows.
Guidance is classifier-free but for menagerie. The methods share one prior; vsd, which trains on it, has its own.

"usual sds" is the step of the common frameworks: see `gsd.tools.gpu_check.turns.usual_step`. `gsd gpu-check` measures
some of these on a GPU, in minutes.
"""

from __future__ import annotations

import argparse

import bench
import torch

from gsd.backend.cache import cache_folder
from gsd.backend.device import pick_device
from gsd.cli.hydra import compose, plain
from gsd.experiment import Experiment, build
from gsd.protocols import Prior
from gsd.results.markdown import table
from gsd.tools.gpu_check.random_model import STABLE_DIFFUSION, random_checkpoint
from gsd.tools.gpu_check.turns import Take, measure, step_of, usual_step_of

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
        for name in ("paper", "nearest", "bilinear", "split_nearest", "integral", "lattice")
    },
}
NEED_NETWORK = ("guidance vsd", "usual sds")  # which the menagerie is not
SCALED = ("sds", "sjc", "csd", "nfsd", "ism", "vsd")  # guidances with a guidance_scale of their own
GUIDANCE_SCALE = 7.5
OWN_PRIOR = ("guidance vsd",)  # which trains a network on it
WARM_UP = 5  # steps: compilation, caches, the first shape of the scene
POINTS = 100_000  # Gaussians of --scale sd


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
    rows = measure(steppers(names, args.scale, args.overrides), args.steps, pick_device("auto"), WARM_UP)
    for name, row in rows.items():
        row["memory_mb"] = memory_apart(name, args.scale, args.overrides)
    bench.publish(args.out, {"arguments": vars(args), "rows": rows}, as_table(rows))


def steppers(names: list[str], scale: str, overrides: list[str]) -> dict[str, Take]:
    """The steps of all methods, on one prior where they can."""
    takes: dict[str, Take] = {}
    shared: Prior | None = None
    for name in names:
        experiment = experiment_of(name, scale, overrides, None if name in OWN_PRIOR else shared)
        shared = experiment.prior if name not in OWN_PRIOR else shared
        takes[name] = _take(name, experiment)
    return takes


def experiment_of(name: str, scale: str, overrides: list[str], prior: Prior | None = None) -> Experiment:
    """A method at a scale; `prior` is that of another one, to be shared."""
    options = [*METHODS[name], *overrides]
    if scale == "sd":
        model = random_checkpoint(cache_folder() / "random_stable_diffusion", STABLE_DIFFUSION, pick_device("auto"))
        options += ["prior=stable_diffusion", f"prior.model={model}", "camera.resolution=512"]
        options += [] if any(o.startswith("init.points=") for o in overrides) else [f"init.points={POINTS}"]
    elif scale == "tiny":
        options += ["prior=tiny"]
    guidance = next((o.split("=")[1] for o in options if o.startswith("guidance=")), "sds")
    if scale != "menagerie" and guidance in SCALED:
        options += [f"guidance.guidance_scale={GUIDANCE_SCALE}"]
    return build(plain(compose(*options)), prior)


def _take(name: str, experiment: Experiment) -> Take:
    return usual_step_of(experiment, GUIDANCE_SCALE) if name == "usual sds" else step_of(experiment)


def memory_apart(name: str, scale: str, overrides: list[str]) -> float:
    """peak_memory in a process of its own, MB."""
    return bench.apart(__file__, "--scale", scale, "--memory-of", name, *overrides)


def peak_memory(name: str, scale: str, overrides: list[str]) -> float:
    """The most memory that the first steps of a method needed, MB."""
    take = _take(name, experiment_of(name, scale, overrides))
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
