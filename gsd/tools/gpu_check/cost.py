"""What steps of Stable Diffusion's size take with random weights: time, memory, shares of the stages, host syncs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gsd.backend.device import forget_peak, peak_memory
from gsd.backend.stopwatch import Stopwatch
from gsd.experiment import Experiment, build
from gsd.memory import GB
from gsd.protocols import Prior
from gsd.tools.gpu_check.bench import Bench, syncs
from gsd.tools.gpu_check.result import Figure, Row
from gsd.tools.gpu_check.turns import Take, measure, step_of, usual_step_of

PLAIN = ("noising=random", "loss=none")
GSD = ("noising=consistent", "loss=[consistency]")
GUIDANCE_SCALE = 7.5
UNCOMPILED = "prior.compile=false"  # a minute for each prior; gsd.tools.gpu_check.model says what it gains
IN_TURNS = {  # on one prior
    "sds": PLAIN,
    "usual sds": PLAIN,
    "gsd": GSD,
    "gsd, tent": (*GSD, "noising.kernel=tent"),
}
STAGES = ("render", "encode", "noise", "prior", "loss", "backward")  # of gsd.loop; loss: the warp of eq. 13


def rows(bench: Bench) -> Iterator[Row]:
    prior = built(bench, PLAIN).prior
    takes = {name: _take(name, built(bench, options, prior=prior)) for name, options in IN_TURNS.items()}
    measured = measure(takes, bench.sizes.steps, bench.device, bench.sizes.warm)
    for name, take in takes.items():
        own, sds = measured[name]["wall_ms"], measured[name]["wall_ratio"]
        ratios: dict[str, Figure] = {"ms": own, "x sds": sds, "x usual sds": sds / measured["usual sds"]["wall_ratio"]}
        yield _row(bench, name, take, ratios)
    takes.clear()
    many = bench.sizes.many
    yield _alone(bench, f"gsd, {many:,} Gaussians", built(bench, GSD, prior=prior, points=many))
    del prior
    bench.clear()
    yield _alone(bench, "vsd", built(bench, ("guidance=vsd", *PLAIN)))
    bench.clear()
    fused = ("prior=threefuse", f"prior.controlnet={bench.controlnet}", *GSD)
    yield _alone(bench, "3dfuse", built(bench, fused))


def built(bench: Bench, options: tuple[str, ...], prior: Prior | None = None, points: int = 0) -> Experiment:
    """Of Stable Diffusion's size, with classifier-free guidance."""
    named = [] if any(option.startswith("prior=") for option in options) else ["prior=stable_diffusion"]
    sizes = bench.sizes
    overrides = [
        *named,
        *options,
        *bench.prior,
        f"init.points={points or sizes.points}",
        f"camera.resolution={sizes.pixels}",
        f"guidance.guidance_scale={GUIDANCE_SCALE}",
        UNCOMPILED,
        "metric=none",
    ]
    return build(bench.config(*overrides), prior)


def _take(name: str, experiment: Experiment) -> Take:
    usual = name.startswith("usual")
    return usual_step_of(experiment, GUIDANCE_SCALE) if usual else step_of(experiment)


def _alone(bench: Bench, name: str, experiment: Experiment) -> Row:
    take = step_of(experiment)
    (measured,) = measure({name: take}, bench.sizes.steps, bench.device, bench.sizes.warm).values()
    return _row(bench, name, take, {"ms": measured["wall_ms"]})


def _row(bench: Bench, name: str, take: Take, ratios: dict[str, Figure]) -> Row:
    """Three more kinds of steps: for the memory, for the shares of the stages, and for the syncs."""
    step = bench.sizes.warm + bench.sizes.steps
    forget_peak(bench.device)
    take(step)
    figures = ratios | {"GB": peak_memory(bench.device) / GB}
    stopwatch = Stopwatch(bench.device)
    for extra in range(1, 3):
        stopwatch.begin()
        take(step + extra, stopwatch.lap)
    shares = stopwatch.summary()
    figures |= {f"{stage} %": 100 * shares[stage]["share"] for stage in STAGES if stage in shares}
    with syncs() as lines:
        take(step + 3)
    where = ", ".join(f"{line} ({count})" for line, count in Counter(lines).most_common(4))
    return Row(name, figures | {"host syncs": len(lines)}, note=where)
