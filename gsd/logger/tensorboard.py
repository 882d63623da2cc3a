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
    """Event files in tensorboard/NAME of the run's folder, rewritten with the whole history when a run continues.

    Event times are the run's own seconds since its start, so the axis "relative" excludes the time spent on measuring.
    """

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise GsdError("logger=tensorboard needs TensorBoard: pip install -e '.[tensorboard]' in a checkout.")

    @contextmanager
    def __call__(self, run: TrackedRun) -> Iterator[Board]:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        name = run.name.replace("/", "_")[:100]  # TensorBoard names a run after its folder
        with SummaryWriter(str(folder / name)) as writer:
            yield Board(writer, run)


class Board:
    """A run's open event file."""

    known = 0

    def __init__(self, writer: Any, run: TrackedRun) -> None:
        self.writer, self.run = writer, run

    def log(self, rows: Sequence[TrackedRow]) -> None:
        for row in rows:
            time = {"global_step": int(row.values["step"]), "walltime": row.values["seconds"]}
            for name, value in row.values.items():
                if name not in ("step", "prior_calls", "seconds"):
                    self.writer.add_scalar(name, value, **time)
            for name, path in row.pictures.items():
                self.writer.add_image(name, np.asarray(Image.open(path)), dataformats="HWC", **time)
            for name, (counts, edges) in row.histograms.items():
                self._histogram(name, counts, edges, time)
        self.writer.flush()

    def finish(self, results: TrackedResults) -> None:
        """Write the final numbers, also to the tab HParams with the options; curves have azimuth as "step"."""
        from torch.utils.tensorboard.summary import hparams

        time = {"global_step": results.step, "walltime": results.values["seconds"]}
        final = {f"final/{name}": value for name, value in results.values.items()}
        options = {name: value for name, value in self.run.config.items() if isinstance(value, str | int | float)}
        for summary in hparams(options, final):
            self.writer.file_writer.add_summary(summary)
        for name, value in final.items():
            self.writer.add_scalar(name, value, **time)
        for chart, lines in results.curves.items():
            for line, values in lines.items():
                for k, value in enumerate(values):
                    self.writer.add_scalar(f"{chart}/{line}", value, round(360 * k / len(values)), time["walltime"])

    def _histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, time: dict[str, Any]) -> None:
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
            **time,
        )
