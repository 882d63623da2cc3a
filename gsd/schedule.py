"""Numbers that change with the step, shared by every schedulable option.

In a yaml or on the command line a schedule is a plain number, or one of
  {kind: linear, start: 0.98, end: 0.5, begin: 0, until: 600}   from start to end between two steps, constant outside
  {kind: step, values: [0, 0.02], at: [300]}                    values[0] before step at[0], values[1] from there on
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Piece(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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


Schedule = float | Annotated[Linear | Step, Field(discriminator="kind")]


def at(schedule: Schedule, step: int) -> float:
    """The value of a number or schedule at a step."""
    return schedule if isinstance(schedule, int | float) else schedule(step)
