"""Whole steps of a dozen configurations: what each makes on the GPU against what it makes on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from omegaconf import DictConfig
from torch import Tensor

from gsd.cli.hydra import compose, plain
from gsd.experiment import Experiment, build
from gsd.loop import optimise
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.compare import EDGE, differences
from gsd.tools.gpu_check.result import Row
from gsd.types import StepState

IMAGES = ("rgb", "depth", "latents", "noise")  # pixels where a point lies on an edge may differ altogether
MEAN = 0.1  # of the mean size of anything, that the mean difference may come to
NETWORK = ("prior.dtype=fp32", "prior.compile=false")
TINY = ("prior=tiny", *NETWORK)
CONFIGURATIONS = (
    (),
    ("noising=consistent", "noising.kernel=tent"),
    ("noising=integral",),
    ("noising=lattice",),
    ("noising=split_nearest", "loss.consistency.resolution=render"),
    ("representation=instant_ngp",),
    ("representation=instant_ngp", "representation.normals=analytic", "loss=[orient,sparsity]"),
    ("representation=textured_mesh", "init=menagerie"),
    ("densify=mcmc", "densify.start=0", "densify.every=1"),
    ("guidance=sdi", "noising=random", "loss=none"),
    (*TINY, "guidance=csd"),
    (*TINY, "guidance=vsd"),
    ("prior=threefuse", "prior.model=tiny", "prior.controlnet=tiny", *NETWORK, "init=menagerie"),
)
TAKEN = 3  # steps; a densifier changes what the last one shows
LAST = 0.05  # relative, of the last picture: Adam turns rounding of small gradients into steps


def rows(bench: Bench) -> Iterator[Row]:
    for setting in CONFIGURATIONS:
        common = ("steps=1000", *bench.sizes.whole, *setting)
        here, there = _steps(plain(compose(*common, "device=cpu"))), _steps(bench.config(*common))
        if not setting:
            tiles = [x[0, :3] for x in (here[0]["rgb"], there[0]["rgb"])]
            apart = 10 * (tiles[0] - tiles[1]).abs()
            bench.results.picture(
                "steps", "The first step on the CPU, on the GPU, ten times the difference", [*tiles, apart]
            )
        wrong = disagreements(there[0], here[0])
        last = {name: differences(there[-1][name], here[-1][name])["relative"] for name in ("rgb", "noise")}
        first = {name: differences(there[0][name], here[0][name])["relative"] for name in (*IMAGES, "gradient")}
        figures = first | {f"{name}, step {TAKEN}": value for name, value in last.items()}
        wrong += [f"rgb, step {TAKEN}"] if not float(last["rgb"] or 0) < LAST else []
        yield Row(" ".join(setting) or "the defaults", figures, not wrong, ", ".join(wrong))


def _steps(cfg: DictConfig) -> list[dict[str, Tensor]]:
    experiment = build(cfg)
    return [seen(experiment, state) for state in islice(optimise(experiment), TAKEN)]


def seen(experiment: Experiment, state: StepState) -> dict[str, Tensor]:
    """What a step made, on the CPU."""
    maps = {
        "rgb": state.render.rgb,
        "depth": state.render.depth,
        "latents": state.latents,
        "noise": state.noise,
        "gradient": state.score.gradient,
        "eps": state.score.eps,
        **state.terms,
    }
    maps |= {f"shape {i}": p for i, p in enumerate(experiment.representation.shape_parameters())}
    return {name: x.detach().cpu().clone() for name, x in maps.items()}


def disagreements(there: dict[str, Tensor], here: dict[str, Tensor]) -> list[str]:
    """What differs by more than rounding between two first steps, and pixels where a point lies on an edge.

    What the prior makes of such pixels follows; ten of them are a share of 2 % of the smallest maps.
    """
    wrong = []
    for name, x in here.items():
        apart = (there[name] - x).abs()
        edges = (apart > 1e-3 * x.abs().max()).float().mean() if name in IMAGES else torch.zeros(())
        if not (edges < EDGE and apart.mean() <= MEAN * x.abs().mean() + 1e-6):
            wrong.append(name)
    return wrong
