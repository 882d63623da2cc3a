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

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError, core_schema

from gsd.ranges import StepNumber


class _Piece(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
    begin: StepNumber = 0
    until: StepNumber

    def bends(self) -> list[int]:
        """The steps at which it may jump or change its slope."""
        return [self.begin, self.until]

    def __call__(self, step: int) -> float:
        if self.until <= self.begin:
            return self.start if step < self.begin else self.end
        progress = min(max((step - self.begin) / (self.until - self.begin), 0.0), 1.0)
        return self.start + progress * (self.end - self.start)


class _Table(_Piece):
    values: list[float]
    at: list[StepNumber]

    def bends(self) -> list[int]:
        """The steps at which it may jump or change its slope."""
        return self.at


class Step(_Table):
    kind: Literal["step"]

    @model_validator(mode="after")
    def _one_value_more_than_steps(self) -> Step:
        if len(self.values) != len(self.at) + 1 or sorted(self.at) != self.at:
            raise ValueError("values needs one entry more than at, and at must ascend")
        return self

    def __call__(self, step: int) -> float:
        return self.values[sum(step >= boundary for boundary in self.at)]


class Points(_Table):
    kind: Literal["points"]

    @model_validator(mode="after")
    def _as_many_values_as_steps(self) -> Points:
        if len(self.values) != len(self.at) or not self.at or sorted(self.at) != self.at:
            raise ValueError("values needs as many entries as at, one or more, and at must ascend")
        return self

    def __call__(self, step: int) -> float:
        return float(np.interp(step, self.at, self.values))


Changing = Annotated[Linear | Step | Points, Field(discriminator="kind")]
Schedule = float | Changing


def extremes(schedule: Schedule | Share) -> tuple[float, float]:
    """The smallest and the largest value that a number or schedule takes at any step."""
    if isinstance(schedule, int | float):
        return schedule, schedule
    if isinstance(schedule, Share):
        return extremes(schedule.value)
    values = [schedule.start, schedule.end] if isinstance(schedule, Linear) else schedule.values
    return min(values), max(values)


@dataclass(frozen=True)
class Within:
    """The range of a schedule: each of its values lies in it, at every step, as a plain number must.

    Example:
        >>> Gamma = Annotated[Schedule, Within(0, 1)]
    """

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        def checked(schedule: Any) -> Any:
            least, most = extremes(schedule)
            if not self.low <= least <= most <= self.high:
                raise PydanticCustomError("range", f"must be from {self.low:g} to {self.high:g}, at every step")
            return schedule

        return core_schema.no_info_after_validator_function(checked, handler(source))


class Share(_Piece):
    """What a term's gradient on the geometry is to be, in parts of the score's."""

    kind: Literal["share"]
    value: Annotated[Schedule, Within(0, 1000)]


_Weight = float | Annotated[Linear | Step | Points | Share, Field(discriminator="kind")]
Weight = Annotated[_Weight, Within(-1e6, 1e6)]  # of a loss
Rate = Annotated[Schedule, Within(0, 10)]  # a learning rate
Scale = Annotated[Schedule, Within(0, 10_000)]  # of guidance


def at(schedule: Schedule, step: int) -> float:
    """The value of a number or schedule at a step.

    Example:
        >>> at(Linear(kind="linear", start=0.0, end=1.0, until=100), 25)
        0.25
    """
    return schedule if isinstance(schedule, int | float) else schedule(step)


def first_step(wrong: Callable[[int], bool], schedules: Sequence[Schedule], steps: int) -> int | None:
    """The first of so many steps at which something is wrong with the values of schedules, or None.

    `wrong` asks for an order or for bounds. Between two bends the schedules are straight lines, along which what was
    right and has become wrong stays wrong, so that few steps need to be looked at.
    """
    bends = [step for each in schedules if not isinstance(each, int | float) for step in each.bends()]
    for start, end in pairwise(sorted({0, steps, *(step for step in bends if step < steps)})):
        if wrong(start):
            return start
        if wrong(end - 1):
            return start + bisect_left(range(start, end), True, key=wrong)
    return None
