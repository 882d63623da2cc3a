"""Weights & Biases."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from gsd.errors import GsdError, reason
from gsd.ranges import Seconds
from gsd.types import TrackedResults, TrackedRow, TrackedRun


class Wandb:
    """A run at W&B: its history, pictures, summary and scene.

    entity: user or team. mode: auto takes the environment's WANDB_MODE, else online if there is a login, else offline.
    init_timeout, finish_timeout: seconds that the network may delay the start and the end of a run. A run that cannot
    start online is logged offline: wandb writes the same data to the run's folder, and `wandb sync` sends them.

    Raises GsdError for mode=online without a login.
    """

    def __init__(
        self,
        project: str = "gsd",
        entity: str | None = None,
        mode: Literal["auto", "online", "offline"] = "auto",
        init_timeout: Seconds = 20,
        finish_timeout: Seconds = 60,
    ) -> None:
        # wandb's reports of its own errors would delay the end of a process by 12 s if the network does not answer
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self.project, self.entity = project, entity
        self.mode, self.offline_reason = _mode(mode)
        self.init_timeout, self.finish_timeout = init_timeout, finish_timeout

    @contextmanager
    def __call__(self, run: TrackedRun) -> Iterator[Session]:
        with _staging(run.folder / "wandb"):
            session, code = self._begin(run), 1
            try:
                for axis in ("step", "prior_calls", "seconds"):
                    session.define_metric(axis, hidden=True)
                session.define_metric("*", step_metric="step")
                yield Session(session)
                code = 0
            except SystemExit:
                session.mark_preempting()  # the same command continues the run
                raise
            finally:
                self._end(session, code)  # wandb's own `with` would print a traceback for every exception

    def _begin(self, run: TrackedRun) -> Any:
        import wandb

        why = self.offline_reason
        if self.mode != "offline":
            try:
                session = self._init(run, self.mode)
                print(f"W&B: {session.url}", flush=True)
                return session
            except Exception as error:
                wandb.teardown()  # else wandb would consider the run still open
                why = f"the run could not be opened at W&B ({reason(error)})"
        for old in (run.folder / "wandb").glob("offline-run-*"):
            if not list(old.glob("*.synced")):  # its data are logged again and would be sent twice
                shutil.rmtree(old, ignore_errors=True)
        session = self._init(run, "offline")
        folder = Path(session.dir).parent
        print(f"W&B: offline, since {why}; to send the run later: wandb sync {folder}", file=sys.stderr, flush=True)
        return session

    def _init(self, run: TrackedRun, mode: Any) -> Any:
        import wandb

        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            save_code=False,
            init_timeout=self.init_timeout,
            finish_timeout=self.finish_timeout,
            finish_timeout_raises=True,
        )
        return wandb.init(
            project=self.project,
            entity=self.entity,
            mode=mode,
            id=run.id,
            resume="allow",
            name=run.name[:128],
            group=run.group,
            job_type=run.job,
            tags=run.tags,
            config=run.config,
            dir=run.folder,
            reinit="create_new",
            settings=quiet,
        )

    def _end(self, session: Any, code: int) -> None:
        try:
            session.finish(exit_code=code)
        except TimeoutError as error:
            raise TimeoutError(
                f"uploads were not done after {self.finish_timeout:g} s; what is left is sent by: "
                f"wandb sync {Path(session.dir).parent}"
            ) from error


class Session:
    """A run that is open at W&B, or offline."""

    def __init__(self, run: Any) -> None:
        self.run, self.known = run, run.starting_step  # a step at W&B is a row; rows sent before are kept

    def log(self, rows: Sequence[TrackedRow]) -> None:
        import wandb

        for row in rows:
            media: dict[str, Any] = {name: wandb.Image(str(path)) for name, path in row.pictures.items()}
            media |= {name: wandb.Histogram(np_histogram=each) for name, each in row.histograms.items()}
            self.run.log(row.values | media, step=row.number)

    def finish(self, results: TrackedResults) -> None:
        import wandb

        last = {"step": results.step} | {key: results.values[key] for key in ("prior_calls", "seconds")}
        media: dict[str, Any] = {"turntable": wandb.Video(str(results.video))}
        if results.points is not None:
            media["points"] = wandb.Object3D(results.points)
        media |= {name: _chart(name, lines) for name, lines in results.curves.items()}
        self.run.log(last | media, step=results.number)
        self.run.summary.update(results.values)
        artifact = wandb.Artifact(f"scene-{self.run.id}", type="scene")
        for path in results.files:
            artifact.add_file(str(path), policy="immutable")
        self.run.log_artifact(artifact)


def _chart(name: str, lines: dict[str, list[float]]) -> Any:
    """Lines over azimuth, in a chart preset that every W&B server has."""
    import wandb

    rows = [[360 * k / len(y), line, value] for line, y in lines.items() for k, value in enumerate(y)]
    table = wandb.Table(columns=["azimuth", "view", "similarity"], data=rows)
    fields = {"step": "azimuth", "lineKey": "view", "lineVal": "similarity"}
    return wandb.plot_table("wandb/lineseries/v0", table, fields, {"title": name, "xname": "azimuth, degrees"})


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """Set the folder where artifacts wait for upload or wandb sync; wandb reads it from the environment only."""
    unset = "WANDB_DATA_DIR" not in os.environ
    if unset:
        os.environ["WANDB_DATA_DIR"] = str(folder)
    try:
        yield
    finally:
        if unset:
            os.environ.pop("WANDB_DATA_DIR", None)


def _mode(option: str) -> tuple[str, str]:
    """The mode for wandb.init, so that it never prompts, and the reason if the mode is offline."""
    if option == "offline":
        return option, "logger.wandb.mode says so"
    variable = os.environ.get("WANDB_MODE")
    if option == "auto" and variable:
        variable = {"dryrun": "offline", "run": "online"}.get(variable, variable)  # W&B's names of old
        if variable == "disabled":
            raise GsdError("WANDB_MODE=disabled leaves nothing for logger=wandb to do; unset it, or take logger=files.")
        if variable not in ("online", "offline"):
            raise GsdError(f"WANDB_MODE={variable} is none of W&B's; set it to online or offline, or unset it.")
        return variable, f"WANDB_MODE={variable}"
    if _login():
        return "online", ""
    if option == "auto":
        return "offline", "there is no login"
    raise GsdError(
        "logger.wandb.mode=online needs a login to W&B and there is none: run `wandb login`, set WANDB_API_KEY, "
        "or take logger.wandb.mode=offline."
    )


def _login() -> bool:
    """Whether there are credentials; nothing is sent. Raises GsdError for a malformed key."""
    import wandb

    wandb.setup(wandb.Settings(silent=True, mode="online"))
    try:
        return wandb.login(prompt=False, verify=False)
    except wandb.errors.AuthenticationError as error:
        raise GsdError(f"The login to W&B is damaged: {reason(error)}; run `wandb login` again.") from error
