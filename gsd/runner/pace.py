"""How long the rest of a run will take, although its later steps may cost more than those that have been timed."""

from __future__ import annotations

import math
from collections.abc import Callable

from gsd.types import Cameras

SAMPLED = 200  # steps, at most, whose cameras are looked at beforehand


class Pace:
    """Seconds of a step, learned for each size of its pictures: the number of views times their width.

    A size that has been timed costs its mean. One that is still to come is expected to cost as much more than the
    latest one as it is larger: twice the width took 1.8 to 2.5 times as long with prior=menagerie, whose networks are
    none, and 1.1 times with a small UNet, which always sees as much. The first step of a size is not timed, since it
    compiles kernels and draws banks of views.
    """

    def __init__(self, steps: int, cameras: Callable[[int], Cameras]) -> None:
        self.steps, self.stride = steps, max(1, math.ceil(steps / SAMPLED))
        self.sizes = [_size(cameras(step)) for step in range(0, steps, self.stride)]
        self.timed: dict[int, tuple[float, float]] = {}  # kind of size -> seconds, sizes of what took them; latest last
        self.kind: int | None = None  # of the step before

    def step(self, cameras: Cameras, seconds: float) -> None:
        """A step with these cameras has taken so long."""
        size = _size(cameras)
        before, self.kind = self.kind, _kind(size)
        if self.kind == before:
            spent, sizes = self.timed.get(self.kind, (0.0, 0.0))
            self.timed[self.kind] = (spent + seconds, sizes + size)

    def left(self, done: int) -> float | None:
        """Seconds that the steps after the first `done` will take; None as long as nothing has been timed."""
        if not self.timed:
            return None
        return sum(
            self._expected(size) * (min(self.steps, first + self.stride) - max(done, first))
            for first, size in zip(range(0, self.steps, self.stride), self.sizes, strict=True)
            if first + self.stride > done
        )

    def _expected(self, size: float) -> float:
        latest = next(reversed(self.timed.values()))
        spent, sizes = self.timed.get(_kind(size), latest)
        return spent / sizes * size


def _size(cameras: Cameras) -> float:
    return len(cameras) * math.sqrt(cameras.width * cameras.height)


def _kind(size: float) -> int:
    """The same for sizes that are about equal, as those of a schedule that grows from step to step."""
    return round(2 * math.log2(size))
