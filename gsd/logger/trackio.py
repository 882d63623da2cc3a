"""trackio: a dashboard on this machine, without an account."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.util import find_spec
from typing import Any

from gsd.errors import GsdError
from gsd.types import TrackedResults, TrackedRow, TrackedRun


class Trackio:
    """A run in trackio's database of a project, rewritten with its whole history when the run continues."""

    def __init__(self, project: str = "gsd") -> None:
        if find_spec("trackio") is None:
            raise GsdError("logger=trackio needs trackio: pip install -e '.[trackio]' in a checkout.")
        self.project = project

    @contextmanager
    def __call__(self, run: TrackedRun) -> Iterator[Session]:
        import trackio

        name = f"{run.name} ({run.id})"  # trackio distinguishes runs by name
        with suppress(ValueError):  # the project does not exist yet
            for old in trackio.Api().runs(self.project):
                if old.name == name:
                    old.delete()
        options = {key: value for key, value in run.config.items() if key != "config"}
        with redirect_stdout(io.StringIO()):
            session = trackio.init(
                self.project,
                name,
                group=run.group,
                config=options | {"job": run.job, "tags": list(run.tags)},
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )
        print(f"trackio: to look at the run: trackio show --project {self.project}", flush=True)
        try:
            yield Session(session)
        finally:
            with redirect_stdout(io.StringIO()):
                trackio.finish()


class Session:
    """A run that is open at trackio."""

    known = 0

    def __init__(self, run: Any) -> None:
        self.run = run

    def log(self, rows: Sequence[TrackedRow]) -> None:
        import trackio

        for row in rows:
            values: dict[str, Any] = {name: value for name, value in row.values.items() if name != "step"}
            values |= {name: trackio.Image(str(path)) for name, path in row.pictures.items()}
            values |= {name: trackio.Histogram(np_histogram=each) for name, each in row.histograms.items()}
            self.run.log(values, step=int(row.values["step"]))

    def finish(self, results: TrackedResults) -> None:
        import trackio

        media: dict[str, Any] = {"turntable": trackio.Video(str(results.video))}
        media |= {path.stem: trackio.Object3D(str(path)) for path in results.files if path.suffix == ".ply"}
        self.run.log(results.values | media, step=results.step)
