"""One run: build, resume, optimise, log, stop cleanly, finish. run.py hands every job of a sweep to `run`."""

from __future__ import annotations

import errno
import json
import shutil
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.runner.signals import Signals

if TYPE_CHECKING:
    from gsd.experiment import Experiment
    from gsd.runner.mirror import Mirror

SPACE = 2**20  # bytes: a disk with less than this is full


def run(cfg: DictConfig, path: str | Path | None = None) -> None:
    """Take the run that `cfg` describes from where its folder stands to DONE; a finished one is left alone.

    path: the run folder; without it, the one that Hydra gave a job. Raises GsdError for what the user can mend,
    SystemExit(128 + signal) after a clean stop; any other exception leaves its traceback in FAILED.
    """
    folder = RunFolder(path or cfg.hydra.runtime.output_dir)
    if folder.done:
        print(f"Already done: {folder.path}")
        return
    with folder.lock():
        try:
            _run(cfg, folder)
        except GsdError as error:
            folder.fail(f"{error}\n")
            raise
        except Exception as error:
            if _no_space(error, folder):
                sentence = f"No space is left for {folder.path}; once there is some, the same command continues."
                folder.fail(f"{sentence}\n")
                raise GsdError(sentence) from error
            folder.fail(traceback.format_exc())
            raise
    print(f"Done: {folder.path}")


def _no_space(error: Exception, folder: RunFolder) -> bool:
    """Whether a full disk is the reason; libraries tell that in words of their own, so the disk is asked too."""
    told = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return told or shutil.disk_usage(folder.path).free < SPACE


def _run(cfg: DictConfig, folder: RunFolder) -> None:
    from gsd.cli.hydra import plain
    from gsd.config import build
    from gsd.runner.finish import finish
    from gsd.runner.mirror import Mirror

    experiment = build(cfg)
    (folder / "FAILED").unlink(missing_ok=True)
    folder.write("config.yaml", OmegaConf.to_yaml(plain(cfg), resolve=True))
    folder.write("overrides.yaml", OmegaConf.to_yaml(cfg.hydra.overrides.task))
    with Mirror(experiment, folder, cfg.hydra) as mirror:
        mirror.finish(finish(experiment, folder, cfg.hydra, **_optimise(experiment, folder, mirror)))


def _optimise(experiment: Experiment, folder: RunFolder, mirror: Mirror) -> dict[str, Any]:
    """The loop with everything that watches it. Returns the totals: seconds and prior_calls."""
    from gsd.loop import optimise
    from gsd.runner.convergence import Evaluation
    from gsd.runner.profile import Profile
    from gsd.runner.progress import Progress
    from gsd.runner.recorder import Recorder

    recorder = Recorder(experiment, folder, mirror.update)
    evaluation = Evaluation(experiment, folder, recorder)
    profile = Profile(experiment.device) if experiment.profile else None
    with Signals() as signals, Progress(experiment.steps, recorder.step) as progress:
        evaluation.begin()
        for state in optimise(experiment, recorder.step, profile):
            evaluation.add(state)  # first, so that a checkpoint never lacks what was measured up to it
            recorder.add(state)
            progress.update(state)
            if signals.seen:
                recorder.checkpoint()
                signals.answer(f"step {recorder.step} of {experiment.steps}, {folder.path}")
    if profile is not None:
        folder.write("profile.json", json.dumps(profile.summary(), indent=2) + "\n")
        profile.show()
    return recorder.totals
