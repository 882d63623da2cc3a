"""The numbers of metrics.jsonl as a curve in the panel."""

from __future__ import annotations

from typing import Any

import numpy as np

from gsd.browser.server import Flag

POINTS = 300  # of a curve: more steps are drawn as the means of neighbours
LEFT_OUT = frozenset({"step", "prior_calls", "seconds", "loss/score"})  # the value of the score's term has no meaning
FIRST = ("score/gradient_rms",)  # chosen if the run has it


class Curves:
    """A folder of the panel with one curve at a time, chosen from a list."""

    def __init__(self, gui: Any, changed: Flag) -> None:
        self.gui, self.changed = gui, changed
        self.folder = gui.add_folder("Curves")
        self.values: dict[str, dict[int, float]] = {}  # name -> step -> value
        self.choice: Any = None

    def add(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            for name in record.keys() - LEFT_OUT:
                self.values.setdefault(name, {})[record["step"]] = record[name]
        if self.values and self.choice is None:
            with self.folder:
                self._make()

    def _make(self) -> None:
        names = sorted(self.values, key=lambda name: (name not in FIRST, not name.startswith("loss/"), name))
        self.choice = self.gui.add_dropdown("Curve", names)
        self.choice.on_update(lambda _: self.changed.set())
        self.plot = self.gui.add_uplot(
            self._data(),
            ({"label": "step"}, {"label": "value", "stroke": "#e65a14", "width": 1.5}),
            scales={"x": {"time": False}},
            axes=({"size": 28}, {"size": 52}),
            legend={"show": False},
            padding=(10, 10, 0, 0),
            aspect=1.7,
        )

    def draw(self) -> None:
        if self.choice is not None:
            self.plot.data = self._data()

    def _data(self) -> tuple[np.ndarray, np.ndarray]:
        points = sorted(self.values[self.choice.value].items())
        every = -(-len(points) // POINTS)
        parts = [np.array(points[i : i + every], dtype=float).mean(0) for i in range(0, len(points), every)]
        x, y = np.array(parts).T
        return np.ascontiguousarray(x), np.ascontiguousarray(y)
