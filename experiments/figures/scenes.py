"""The scene of the figures that look at a single one: that of a run, or one that is made here in seconds."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

from gsd.cli.hydra import compose
from gsd.experiment import Experiment, build
from gsd.loop import optimise
from gsd.noising.check.sight import Sight
from gsd.results.scene import checkpoint
from gsd.results.trust import configuration
from gsd.tools.run_sights import bare, sight

STEPS = 40  # of the scene that is made here: a rough animal
MADE = ("init=menagerie", "metric=none", "threads=1")


def add_scene(options: argparse.ArgumentParser, otherwise: str) -> None:
    options.add_argument(
        "--scene", type=Path, metavar="RUN", help=f"run folder, whose scene is looked at ({otherwise})"
    )


def opened(run: Path | None) -> tuple[Experiment, Sight]:
    """The experiment of a run with its scene as the checkpoint has it; None: the first steps from a rough cloud."""
    if run is None:
        experiment = build(compose(*MADE))
        taken = sum(1 for _ in islice(optimise(experiment), STEPS))
        return experiment, sight(experiment, taken, "a scene of its own")
    experiment, saved = build(bare(configuration(run))), checkpoint(run)
    experiment.representation.restore(saved["representation"])
    return experiment, sight(experiment, saved["step"], str(run))
