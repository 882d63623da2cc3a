"""The ends of a range of noise levels."""

from __future__ import annotations

from gsd.errors import GsdError
from gsd.schedule import Schedule, at, first_step


def refuse_descending(t_min: Schedule, t_max: Schedule, steps: int) -> None:
    """Raise GsdError at the first of the steps at which t_min is above t_max."""
    step = first_step(lambda step: at(t_min, step) > at(t_max, step), (t_min, t_max), steps)
    if step is not None:
        raise GsdError(
            f"sigma.t_min={at(t_min, step):g} and sigma.t_max={at(t_max, step):g} at step {step}: need t_min <= t_max."
        )
