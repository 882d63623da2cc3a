"""One run: build, take it up from its folder, optimise while the watchers look on, finish."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import traceback
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gsd.backend.film import SPACE
from gsd.cli.hydra import choices, plain, run_folder
from gsd.errors import GsdError
from gsd.identity import Identity, identity
from gsd.results.folder import STAGES, RunFolder
from gsd.results.owner import belongs, refuse_files_of_others, sign
from gsd.results.reading import there
from gsd.results.runs import Run
from gsd.runner.result import show
from gsd.settings import start_of

if TYPE_CHECKING:
    import torch

    from gsd.experiment import Experiment
    from gsd.runner.recorder import Recorder
    from gsd.runner.watch import Watcher


def run(cfg: DictConfig, folder: str | Path | None = None) -> Run:
    """Take the run that `cfg` describes from where its folder stands to its end; a run that is done is left alone.

    The result has the same bits as that of the command with the same overrides.

    Args:
        cfg: from `gsd.compose`.
        folder: the run folder; None: the one that the command takes, outputs/NAME/SIGNATURE.

    Returns:
        The run, whose `summary` has the final numbers.

    Raises:
        GsdError: what the user can mend, in a sentence that the file FAILED in the folder holds too.
        SystemExit: 128 + the signal's number, after SIGINT or SIGTERM has stopped the run at a checkpoint.

    Any other exception leaves its traceback in FAILED.

    Example:
        >>> run = gsd.run(gsd.compose("noising=random", "steps=50"))
        >>> run.summary["psnr_aligned"]
        14.2
    """
    if "hydra" not in cfg:
        raise GsdError("This config does not say which options were chosen; make it with gsd.compose.")
    asked = identity(cfg)
    home = RunFolder(run_folder(cfg) if folder is None else folder)
    if belongs(home.path, asked) and home.done:
        return _shown(home, cfg, "Already done")
    home.refuse_links()
    refuse_files_of_others(home.path)
    with home.lock():
        if not belongs(home.path, asked):  # asked again: another process may just have left
            print(f"The turntable or the metrics have changed: {home.path} is measured anew.")
        try:
            _run(_through_stages(cfg, home, asked), home, asked)
        except GsdError as error:
            _fail(home, f"{error}\n", cfg)
            raise
        except Exception as error:
            sentence = _told(error, home, cfg)
            _fail(home, f"{sentence}\n" if sentence else traceback.format_exc(), cfg)
            if sentence:
                raise GsdError(sentence) from error
            raise
    return _shown(home, cfg, "Done")


def _shown(home: RunFolder, cfg: DictConfig, how: str) -> Run:
    """A run that is done, as whoever asked for it sees it; a sweep has a table of all its runs."""
    made = Run(home.path)
    if cfg.hydra.mode != RunMode.MULTIRUN:
        show(made)
    print(f"{how}: {home.path}")
    return made


def _fail(home: RunFolder, text: str, cfg: DictConfig) -> None:
    """Of a run that is done, to be measured anew, a command that was refused before it changed anything changes nothing
    now; a sweep, which says what has become of its runs by their folders, has to see that."""
    if home.done and cfg.hydra.mode != RunMode.MULTIRUN:
        return
    (home / "DONE").unlink(missing_ok=True)
    home.fail(text)


def _through_stages(cfg: DictConfig, home: RunFolder, asked: Identity) -> DictConfig:
    """Take the stages that come before a run to their ends, each in stages/NAME of its folder; returns the config that
    starts from them. What is done of them is left alone, as any run is.
    """
    from gsd.cli.stages import planned

    stages = planned(cfg)
    if not stages:
        return cfg
    _write_down(cfg, home, asked, {})  # so that the folder is seen to be a run's, which has begun
    RunFolder(home / STAGES).refuse_links()
    for number, (name, stage) in enumerate(stages.items(), 1):
        folder = home / STAGES / name
        print(f"Stage {number} of {len(stages) + 1}, {name}: {folder}", flush=True)
        try:
            run(_started(stage, home), folder)
        except GsdError as error:
            raise GsdError(f"Stage {name}: {error}") from error
    print(f"Stage {len(stages) + 1} of {len(stages) + 1}, the run itself: {home.path}", flush=True)
    return _started(cfg, home)


def _started(cfg: DictConfig, home: RunFolder) -> DictConfig:
    """The config with the folder of the stage that it starts from."""
    start = start_of(cfg)
    if start is None:
        return cfg
    made = deepcopy(cfg)
    made.init.path = str(home / STAGES / start)
    return made


def job(cfg: DictConfig) -> float | None:
    """What a job of Hydra does: the run, whose `objective` is returned for sweepers that optimise a number."""
    from gsd.runner.objective import refuse_none, value

    refuse_none(cfg)
    made = run(cfg)
    return None if cfg.objective is None else value(made.summary, cfg.objective)


def _told(error: Exception, folder: RunFolder, cfg: DictConfig) -> str:
    """What the user can mend, where that is the reason: a full memory or disk, or what lies in the place of a file of
    the run."""
    from gsd.memory import too_little

    if lower := too_little(error, cfg):
        since = f"from the checkpoint in {folder.path}" if there(folder / "checkpoint.pt") else "from the start"
        return f"{lower} Where memory is freed instead, the same command continues {since}."
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "A file would be larger than this shell allows (ulimit -f); raise that, and the same command continues."
    if full := _full(error, folder):
        return f"No space is left for {full}; once there is some, the same command continues."
    where = error.filename if isinstance(error, OSError) else None
    if isinstance(where, str | os.PathLike) and Path(where).is_relative_to(folder.path):
        return f"{where} cannot be written or read: {error.strerror}; mend that, and the same command continues."  # type: ignore[attr-defined]
    return ""


def _full(error: Exception, folder: RunFolder) -> Path | None:
    """The folder whose disk is full, if that is the reason; libraries tell it in words of their own or name no file."""
    told = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and told and isinstance(error.filename, str | Path):
        return Path(error.filename).absolute().parent
    asked = (folder.path, Path(tempfile.gettempdir()))
    return next((path for path in asked if shutil.disk_usage(path).free < SPACE), folder.path if told else None)


def _run(cfg: DictConfig, folder: RunFolder, asked: Identity) -> None:
    from gsd.backend.device import forget_peak, pick_device
    from gsd.backend.images import png
    from gsd.experiment import build
    from gsd.loop import optimise
    from gsd.runner.finish import finish
    from gsd.runner.objective import refuse_unknown
    from gsd.runner.recorder import Recorder

    device = pick_device(cfg.device)
    machine = _machine(device, asked)
    print(
        "Device: " + ", ".join(f"{name} {value}" for name, value in machine.items()).removeprefix("device "), flush=True
    )
    forget_peak(device)
    experiment = build(cfg)
    refuse_unknown(cfg.objective, experiment)
    _write_down(cfg, folder, asked, machine)
    for number, picture in enumerate(experiment.start_pictures):
        if picture is not None:
            folder.write(f"particle_{number}/start.png" if number else "start.png", png(picture))
    recorder = Recorder(experiment, folder)
    watchers = _watchers(experiment, folder, recorder, cfg.hydra.mode == RunMode.MULTIRUN)

    def lap(stage: str) -> None:
        for watcher in watchers:
            watcher.lap(stage)

    with ExitStack() as entered:
        for watcher in watchers:
            entered.enter_context(watcher)
        for watcher in watchers:
            watcher.begin(recorder.steps_taken)
        for state in optimise(experiment, recorder.steps_taken, lap):
            for watcher in watchers:
                watcher.step(state)
            if any(watcher.wants_checkpoint for watcher in watchers):
                for watcher in watchers:
                    watcher.checkpoint()
        for watcher in watchers:
            watcher.end()
        summary = finish(experiment, folder, machine, **recorder.totals)
        for watcher in watchers:
            watcher.done(summary)


def _machine(device: torch.device, asked: Identity) -> dict[str, str]:
    """What computes: the device, and the precision of the prior's network."""
    from gsd.backend.device import described

    return described(device) | {"dtype": asked.settings.get("prior.dtype", "fp32")}


def _write_down(cfg: DictConfig, folder: RunFolder, asked: Identity, machine: dict[str, str]) -> None:
    """What was asked for, so that the folder of a run that is not done says it too."""
    for name in ("DONE", "FAILED"):
        (folder / name).unlink(missing_ok=True)
    sign(folder, asked, machine)
    folder.write("config.yaml", OmegaConf.to_yaml(plain(cfg), resolve=True))
    folder.write("overrides.yaml", OmegaConf.to_yaml(cfg.hydra.overrides.task))
    folder.write("choices.yaml", OmegaConf.to_yaml(OmegaConf.create(choices(cfg))))


def _watchers(experiment: Experiment, folder: RunFolder, recorder: Recorder, in_sweep: bool) -> tuple[Watcher, ...]:
    """In the order in which they enter and are told everything; they leave in the reverse order."""
    from gsd.runner.convergence import Convergence
    from gsd.runner.live import Live
    from gsd.runner.mirror import Mirror
    from gsd.runner.pace import Pace
    from gsd.runner.profile import Profile
    from gsd.runner.progress import Progress
    from gsd.runner.signals import Signals

    signals = Signals(experiment.steps, folder.path)
    pace = Pace(experiment.steps, lambda step: experiment.camera(experiment.stream("camera", step)))
    viewer = experiment.viewer
    return (
        Convergence(experiment, folder, recorder),  # before the recorder: a checkpoint lacks no measurement up to it
        recorder,
        Mirror(experiment, folder, recorder.clock, in_sweep),  # after it: trackers are told what a checkpoint holds
        Progress(pace, folder, recorder.clock),
        *([Profile(experiment.device, folder)] if experiment.profile else []),  # its table follows the bar
        *([Live(viewer, experiment, folder, recorder.clock, in_sweep, signals)] if viewer else []),
        signals,  # last: it may end the program when all others are through
    )
