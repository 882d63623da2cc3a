"""How much noise the views of a step share in the run itself: a noising may be right and have nothing to hold on."""

from __future__ import annotations

import logging

from gsd.experiment import Experiment
from gsd.geometry import angle_between
from gsd.shares import EVERY
from gsd.types import StepState
from gsd.warping.compare import noise_correlation

NEIGHBOURS, LITTLE = 10.0, 0.3  # degrees within which views that share less are worth a warning


class Sharing:
    """Of the steps at which `gsd.shares` measures too: noise/correlation between the views of a group, at corresponding
    pixels of the object, and noise/coverage, the part of the object's pixels that the noising's points reach."""

    def __init__(self, experiment: Experiment) -> None:
        self.noising, self.stream, self.warned = experiment.noising, experiment.stream, False

    def __call__(self, state: StepState) -> dict[str, float]:
        if state.step % EVERY:
            return {}
        found, on_object = {}, state.geometry.alpha > 0.5
        correlation = noise_correlation(state.noise, state.geometry)
        if correlation is not None:
            found["noise/correlation"] = correlation
            self._warn(correlation, state)
        reached = self.noising.reaches(state.geometry, self.stream("noising", state.step))
        if reached is not None and on_object.any():
            found["noise/coverage"] = float(reached[on_object].float().mean())
        return found

    def _warn(self, correlation: float, state: StepState) -> None:
        """Once per run, where neighbouring views share little although the noising promises it."""
        azimuth = state.cameras.azimuth
        near = float(angle_between(azimuth[0], azimuth[1]).abs()) <= NEIGHBOURS
        promised = "shared" in self.noising.claims and self.noising.sqrt_beta == 1
        if near and promised and correlation < LITTLE and not self.warned:
            self.warned = True
            logging.getLogger("gsd").warning(
                "gsd: step %d: neighbouring views share %.2f of their noise, less than %.1f, so that this noising is "
                "close to random; noise/correlation and noise/coverage in metrics.jsonl say when.",
                state.step,
                correlation,
                LITTLE,
            )
