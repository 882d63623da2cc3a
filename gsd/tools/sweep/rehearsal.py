"""A sweep's runs, made and not taken: what would stop one of them shows before the sweep is left alone."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from gsd.errors import GsdError
from gsd.results.table import SEED
from gsd.tools.sweep.prompts import swept

GRIDS = ("gsd", "basic")
LOCAL = ("basic", "joblib")  # launchers whose runs have this machine's devices and packages


def rehearse(config: DictConfig, overrides: Sequence[str]) -> None:
    """Compose one run of each setting, whatever its seeds, and build those that are for this machine.

    Raises GsdError with the settings of the first run that cannot be.
    """
    from gsd.cli.hydra import compose
    from gsd.experiment import build

    if config.hydra.runtime.choices.get("hydra/sweeper") not in GRIDS:
        return  # which runs there will be follows from what comes out
    parsed = OverridesParser.create().parse_overrides(swept(config.hydra.sweeper.params or {}, overrides))
    (grid,) = BasicSweeper.split_arguments(parsed, None)
    alone = {frozenset(word for word in run if not word.startswith(f"{SEED}=")): run for run in reversed(grid)}
    for run in alone.values():
        try:
            made = compose(*run)
            if config.hydra.runtime.choices.get("hydra/launcher") in LOCAL:
                build(made)
        except GsdError as error:
            varied = [word for word in run if word not in overrides]
            raise GsdError(f"{error} (Found in the run {' '.join(varied)}.)") from error
