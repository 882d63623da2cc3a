"""One run: build, resume, optimise, log, stop cleanly, finish. run.py hands every job of a sweep to `run`."""

from __future__ import annotations

import json
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gsd.errors import GsdError
from gsd.folder import RunFolder

if TYPE_CHECKING:
    from gsd.experiment import Experiment


def run(cfg: DictConfig) -> None:
    """Take the run that `cfg` describes from where its folder stands to DONE; a finished one is left alone.

    Raises GsdError for what the user can mend, SystemExit(128 + signal) after a clean stop; any other exception
    leaves its traceback in FAILED.
    """
    folder = RunFolder(HydraConfig.get().runtime.output_dir)
    if folder.done:
        print(f"Already done: {folder.path}")
        return
    with folder.lock():
        try:
            _run(cfg, folder)
        except GsdError as error:
            folder.fail(f"{error}\n")
            raise
        except Exception:
            folder.fail(traceback.format_exc())
            raise
    print(f"Done: {folder.path}")


def _run(cfg: DictConfig, folder: RunFolder) -> None:
    from gsd.config import build
    from gsd.finish import finish

    experiment = build(cfg)
    (folder / "FAILED").unlink(missing_ok=True)
    folder.write("config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    folder.write("overrides.yaml", OmegaConf.to_yaml(HydraConfig.get().overrides.task))
    finish(experiment, folder, **_optimise(experiment, folder))


def _optimise(experiment: Experiment, folder: RunFolder) -> dict[str, Any]:
    """The loop with everything that watches it. Returns the totals: seconds and prior_calls."""
    from gsd.evaluation import Evaluation
    from gsd.optimise import optimise
    from gsd.profile import Profile
    from gsd.progress import Progress
    from gsd.record import Recorder

    recorder = Recorder(experiment, folder)
    evaluation = Evaluation(experiment, folder, recorder)
    profile = Profile(experiment.device) if experiment.profile else None
    with _stop_signals() as stop, Progress(experiment.steps, recorder.step) as progress:
        evaluation.begin()
        for state in optimise(experiment, recorder.step, profile):
            evaluation.add(state)  # first, so that a checkpoint never lacks what was measured up to it
            recorder.add(state)
            progress.update(state)
            if stop:
                recorder.checkpoint()
                break
    if recorder.step < experiment.steps:
        print(f"Stopped at step {recorder.step} of {experiment.steps}; the same command continues. {folder.path}")
        raise SystemExit(128 + stop[0])
    if profile is not None:
        folder.write("profile.json", json.dumps(profile.summary(), indent=2) + "\n")
        profile.show()
    return recorder.totals


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM are noted in the list yielded instead of interrupting a step; a second one interrupts."""
    seen: list[int] = []

    def note(number: int, frame: object) -> None:
        if seen:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        seen.append(number)

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
