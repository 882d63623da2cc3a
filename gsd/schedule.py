"""Numbers that change with the step, shared by every schedulable option.

In a yaml or on the command line a schedule is a plain number, or one of
  {kind: linear, start: 0.98, end: 0.5, begin: 0, until: 600}   from start to end between two steps, constant outside
  {kind: step, values: [0, 0.02], at: [300]}                    values[0] before step at[0], values[1] from there on
  {kind: points, values: [1, 0.4, 0], at: [0, 60, 600]}         values[k] at step at[k], straight lines between them

The weight of a loss may also be aimed at, see `gsd.shares`:
  {kind: share, value: 0.1}                                     value may itself be any of the above

A step is a number, or a fraction of the run's length: ${gsd.step:500,1200} is the step that corresponds to step 500 of
a run of 1200. Presets use it, so that the source's number stays readable and schedules stretch with `steps`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Piece(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_another_kind(cls, data: Any) -> Any:
        """Hydra merges a schedule into the one it replaces; drop the keys that only the replaced kind has."""
        if not isinstance(data, dict):
            return data
        others = {name for kind in (Linear, Step, Points, Share) for name in kind.model_fields} - set(cls.model_fields)
        return {name: value for name, value in data.items() if name not in others}


class Linear(_Piece):
    kind: Literal["linear"]
    start: float
    end: float
    begin: int = 0
    until: int

    def __call__(self, step: int) -> float:
        if self.until <= self.begin:
            return self.start if step < self.begin else self.end
        progress = min(max((step - self.begin) / (self.until - self.begin), 0.0), 1.0)
        return self.start + progress * (self.end - self.start)


class Step(_Piece):
    kind: Literal["step"]
    values: list[float]
    at: list[int]

    @model_validator(mode="after")
    def _one_value_more_than_steps(self) -> Step:
        if len(self.values) != len(self.at) + 1 or sorted(self.at) != self.at:
            raise ValueError("values needs one entry more than at, and at must ascend")
        return self

    def __call__(self, step: int) -> float:
        return self.values[sum(step >= boundary for boundary in self.at)]


class Points(_Piece):
    kind: Literal["points"]
    values: list[float]
    at: list[int]

    @model_validator(mode="after")
    def _as_many_values_as_steps(self) -> Points:
        if len(self.values) != len(self.at) or not self.at or sorted(self.at) != self.at:
            raise ValueError("values needs as many entries as at, one or more, and at must ascend")
        return self

    def __call__(self, step: int) -> float:
        return float(np.interp(step, self.at, self.values))


Changing = Annotated[Linear | Step | Points, Field(discriminator="kind")]
Schedule = float | Changing


class Share(_Piece):
    """What a term's gradient on the geometry is to be, in parts of the score's; not negative."""

    kind: Literal["share"]
    value: Schedule

    @model_validator(mode="after")
    def _not_negative(self) -> Share:
        if extremes(self.value)[0] < 0:
            raise ValueError("a share must not be negative")
        return self


Weight = float | Annotated[Linear | Step | Points | Share, Field(discriminator="kind")]  # of a loss


def at(schedule: Schedule, step: int) -> float:
    """The value of a number or schedule at a step.

    Example:
        >>> at(Linear(kind="linear", start=0.0, end=1.0, until=100), 25)
        0.25
    """
    return schedule if isinstance(schedule, int | float) else schedule(step)


def extremes(schedule: Schedule) -> tuple[float, float]:
    """The smallest and the largest value that a number or schedule takes at any step."""
    if isinstance(schedule, int | float):
        return schedule, schedule
    values = [schedule.start, schedule.end] if isinstance(schedule, Linear) else schedule.values
    return min(values), max(values)
