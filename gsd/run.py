"""One run: build, resume, optimise, log, stop cleanly, finish. run.py hands every job of a sweep to `run`."""

from __future__ import annotations

import errno
import json
import shutil
import traceback
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gsd.errors import GsdError
from gsd.folder import RunFolder
from gsd.signals import Signals

if TYPE_CHECKING:
    from gsd.experiment import Experiment
    from gsd.mirror import Mirror

SPACE = 2**20  # bytes: a disk with less than this is full


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
    from gsd.config import build
    from gsd.finish import finish
    from gsd.mirror import Mirror

    experiment = build(cfg)
    (folder / "FAILED").unlink(missing_ok=True)
    folder.write("config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    folder.write("overrides.yaml", OmegaConf.to_yaml(HydraConfig.get().overrides.task))
    with Mirror(experiment, folder) as mirror:
        mirror.finish(finish(experiment, folder, **_optimise(experiment, folder, mirror)))


def _optimise(experiment: Experiment, folder: RunFolder, mirror: Mirror) -> dict[str, Any]:
    """The loop with everything that watches it. Returns the totals: seconds and prior_calls."""
    from gsd.evaluation import Evaluation
    from gsd.optimise import optimise
    from gsd.profile import Profile
    from gsd.progress import Progress
    from gsd.record import Recorder

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
