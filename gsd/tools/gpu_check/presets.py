"""The memory of every preset with a large prior, at its authors' size."""

from __future__ import annotations

from collections.abc import Iterator

from gsd.backend.device import forget_peak, peak_memory
from gsd.cli.folders import options
from gsd.cli.hydra import compose, plain
from gsd.experiment import build
from gsd.memory import GB
from gsd.schedule import extremes
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.cost import UNCOMPILED
from gsd.tools.gpu_check.result import Row
from gsd.tools.gpu_check.turns import step_of

READ = ("StableDiffusion", "ThreeFuse")  # priors that read the random checkpoint
STEPS = 2


def rows(bench: Bench) -> Iterator[Row]:
    for preset in options("experiment"):
        prior = plain(compose(f"experiment={preset}")).prior
        if prior["_target_"].rpartition(".")[2] not in READ or prior.model == "tiny":
            continue
        yield _row(bench, preset)
        bench.clear()


def _row(bench: Bench, preset: str) -> Row:
    """Two steps with the largest pictures of the preset; what it starts from needs a download, and is a ball here."""
    given = (f"experiment={preset}", *bench.prior, UNCOMPILED, "metric=none")
    cfg = bench.config(*given, *bench.sizes.presets, of_field=bench.sizes.fields)
    cfg.init = compose("init=shell", f"init.points={bench.sizes.points}").init
    cfg.camera.resolution = round(extremes(cfg.camera.resolution)[1])
    if "controlnet" in cfg.prior:
        cfg.prior.controlnet = str(bench.controlnet)
    forget_peak(bench.device)
    take = step_of(build(cfg))
    for step in range(STEPS):
        take(step)
    return Row(preset, {"GB": peak_memory(bench.device) / GB, "pixels": cfg.camera.resolution})
