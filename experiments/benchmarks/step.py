"""What geometry-aware score distillation adds to a step of plain score distillation.

Both experiments take turns, step by step, in one process, so that a machine whose speed drifts treats them alike; the
figures are medians of CPU and wall time and their ratio.

    python experiments/benchmarks/step.py [--steps 200] [OVERRIDE ...]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hydra import compose, initialize_config_dir

from gsd.config import build, register
from gsd.experiment import Experiment
from gsd.optimise import take_step

ROOT = Path(__file__).resolve().parents[2]
METHODS = {
    "sds": ["noising=random", "loss=none"],
    "consistent noise": ["noising=consistent", "loss=none"],
    "consistency loss": ["noising=random", "loss=[consistency]"],
    "gsd": ["noising=consistent", "loss=[consistency]"],
}
WARM_UP = 20  # steps: compilation, caches, the first shape of the scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("overrides", nargs="*", help="applied to every method, for example camera.groups=4")
    arguments = parser.parse_args()
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        configs = {name: compose("config", [*o, *arguments.overrides]) for name, o in METHODS.items()}
    times = measure({name: build(cfg) for name, cfg in configs.items()}, arguments.steps)
    print("| step | wall ms | CPU ms | wall / sds | CPU / sds |\n|---|---|---|---|---|")
    for name, (wall, cpu) in times.items():
        ratios = [statistics.median(a / b for a, b in zip(mine, base, strict=True)) for mine, base in
                  zip((wall, cpu), times["sds"], strict=True)]  # fmt: skip
        figures = [1e3 * statistics.median(wall), 1e3 * statistics.median(cpu), *ratios]
        print(f"| {name} | " + " | ".join(f"{f:.2f}" for f in figures) + " |")


def measure(experiments: dict[str, Experiment], steps: int) -> dict[str, tuple[list[float], list[float]]]:
    """Wall and CPU seconds of every step of every experiment, the experiments interleaved."""
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in experiments}
    for step in range(WARM_UP + steps):
        for name, experiment in experiments.items():
            wall, cpu = time.perf_counter(), time.process_time()
            take_step(experiment, step)
            if step >= WARM_UP:
                times[name][0].append(time.perf_counter() - wall)
                times[name][1].append(time.process_time() - cpu)
    return times


if __name__ == "__main__":
    main()
