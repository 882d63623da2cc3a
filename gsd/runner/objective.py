"""`objective=NAME`: the number of the summary that a run returns to a sweeper that optimises, such as Optuna's."""

from __future__ import annotations

from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig

from gsd.errors import GsdError, did_you_mean
from gsd.experiment import Experiment
from gsd.results.table import COSTS

OPTIMISERS = ("optuna", "nevergrad", "ax")  # sweepers of Hydra's own that cannot do without a number


def value(summary: dict[str, Any], name: str) -> float:
    """The number of that name. Raises GsdError, with the names that there are, where it is none."""
    _refuse(name, summary)
    return float(summary[name])


def refuse_unknown(name: str | None, experiment: Experiment) -> None:
    """Raises GsdError where the summary will have no such number: what the metrics say of the start tells."""
    if name is not None and name not in COSTS:
        from gsd.runner.convergence import measured

        _refuse(name, measured(experiment) | dict.fromkeys(COSTS, 0.0))


def refuse_none(cfg: DictConfig) -> None:
    """Raises GsdError where the sweeper needs a number and none is named."""
    sweeper = cfg.hydra.runtime.choices.get("hydra/sweeper")
    if cfg.objective is None and cfg.hydra.mode == RunMode.MULTIRUN and sweeper in OPTIMISERS:
        raise GsdError(f"hydra/sweeper={sweeper} needs a number to optimise; add for example objective=psnr_aligned.")


def _refuse(name: str, summary: dict[str, Any]) -> None:
    numbers = [key for key, value in summary.items() if isinstance(value, int | float) and key != "seed"]
    if name not in numbers:
        raise GsdError(
            f"objective={name} is no number of the summary; choose {', '.join(numbers)}{did_you_mean(name, numbers)}"
        )
