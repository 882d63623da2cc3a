"""TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from gsd.errors import GsdError
from gsd.types import TrackedResults, TrackedRow, TrackedRun


class TensorBoard:
    """Event files in tensorboard/NAME of the run's folder, made anew with the whole history whenever a run goes on.

    An event's time is the run's own, in seconds since 0, so that the axis "relative" leaves out what measuring costs.
    """

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise GsdError("logger=tensorboard needs TensorBoard: pip install -e '.[tensorboard]' in a checkout.")

    @contextmanager
    def __call__(self, run: TrackedRun) -> Iterator[Board]:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        name = run.name.replace("/", "_")[:100]  # what TensorBoard calls the run, after its folder
        with SummaryWriter(str(folder / name)) as writer:
            yield Board(writer, run)


class Board:
    known = 0

    def __init__(self, writer: Any, run: TrackedRun) -> None:
        self.writer, self.run = writer, run

    def log(self, rows: Sequence[TrackedRow]) -> None:
        for row in rows:
            at = {"global_step": int(row.values["step"]), "walltime": row.values["seconds"]}
            for name, value in row.values.items():
                if name not in ("step", "prior_calls", "seconds"):
                    self.writer.add_scalar(name, value, **at)
            for name, path in row.pictures.items():
                self.writer.add_image(name, np.asarray(Image.open(path)), dataformats="HWC", **at)
            for name, (counts, edges) in row.histograms.items():
                self._histogram(name, counts, edges, at)
        self.writer.flush()

    def finish(self, results: TrackedResults) -> None:
        """The last numbers, also beside the options in the tab HParams; curves over azimuth as their "step"."""
        from torch.utils.tensorboard.summary import hparams

        at = {"global_step": results.step, "walltime": results.values["seconds"]}
        final = {f"final/{name}": value for name, value in results.values.items()}
        options = {name: value for name, value in self.run.config.items() if isinstance(value, str | int | float)}
        for summary in hparams(options, final):
            self.writer.file_writer.add_summary(summary)
        for name, value in final.items():
            self.writer.add_scalar(name, value, **at)
        for chart, lines in results.curves.items():
            for line, values in lines.items():
                for k, value in enumerate(values):
                    self.writer.add_scalar(f"{chart}/{line}", value, round(360 * k / len(values)), at["walltime"])

    def _histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, at: dict[str, Any]) -> None:
        middles = (edges[1:] + edges[:-1]) / 2
        self.writer.add_histogram_raw(
            name,
            min=float(edges[0]),
            max=float(edges[-1]),
            num=int(counts.sum()),
            sum=float(counts @ middles),
            sum_squares=float(counts @ middles**2),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            **at,
        )
