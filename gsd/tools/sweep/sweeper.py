"""Hydra's grid of runs, of which only those are launched that are missing or have failed. hydra/sweeper=gsd."""

from __future__ import annotations

import math
import sys
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from gsd.cli.errors import missing_plugin
from gsd.cli.folders import own_folders
from gsd.cli.overrides import quoted
from gsd.errors import GsdError
from gsd.identity import Identity, identity
from gsd.results.owner import belongs
from gsd.results.provenance import commit
from gsd.results.runs import Run
from gsd.results.sweep_folder import INTO, Job, Sweep, SweepFolder, count
from gsd.tools.sweep.prompts import KEY, prompt_sets, swept
from gsd.tools.sweep.queue import active, told

SIDE_BY_SIDE = "hydra_plugins.gsd_sweep.SideBySide"
MANY = 100  # configs take a tenth of a second each
MOST = 100_000  # runs, which already take hours to list


class Sweeper(BasicSweeper):
    """As Hydra's basic sweeper, but one folder takes all runs and no other sweep meanwhile, what is done is left out,
    and a run that fails does not end the sweep: the folders say what has become of each run.
    """

    asked: dict[str, Identity]  # name of the run's folder -> the run that this sweep wants there

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        _require_plugin(config)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        assert self.config is not None
        folder = SweepFolder(self.config.hydra.sweep.dir)
        jobs = self._jobs(arguments)
        with folder.lock():
            _refuse_beside_jobs(folder)
            measured_anew = {name for name, asked in self.asked.items() if not belongs(folder.path / name, asked)}
            for sentence in folder.begin(self._record(jobs)):
                print(sentence)
            todo = self._missing(folder, jobs, measured_anew)
            if todo:
                self._launch(folder, todo)

    def _jobs(self, arguments: list[str]) -> dict[str, tuple[list[str], int]]:
        """Name of the run's folder -> overrides, steps. Every config is composed, so that mistakes show before a start.

        Two jobs that make the same config are one run.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        parsed = OverridesParser.create(loader).parse_overrides(swept(self.params, arguments))
        _check_size(parsed)
        (grid,) = self.split_arguments(parsed, None)
        if not grid:
            raise GsdError("There is no run in this sweep: what it is over matches nothing.")
        if len(grid) > MANY:
            print(f"The configs of {len(grid)} runs are composed first.", flush=True)
        jobs = {}
        self.asked = {}
        for number, overrides in enumerate(grid):
            config = loader.load_sweep_config(self.config, overrides)
            with open_dict(config):
                config.hydra.job.num, config.hydra.job.id = number, str(number)
            _refuse_other_sweeps(self.config, config, overrides)
            name, asked = str(OmegaConf.select(config, "hydra.sweep.subdir")), identity(config)
            if different := asked.unlike(self.asked.setdefault(name, asked)):
                key, words = next(iter(different.items()))
                raise GsdError(
                    f"Two runs of this sweep go into one folder, {name}, and differ in {key}: {words}; leave "
                    "hydra.sweep.subdir out, and each run has its own."
                )
            jobs[name] = (overrides, config.steps)
        return jobs

    def _record(self, jobs: dict[str, tuple[list[str], int]]) -> Sweep:
        assert self.config is not None
        common = set.intersection(*(set(overrides) for overrides, _ in jobs.values())) if len(jobs) > 1 else set()
        return Sweep(
            overrides=_typed(),
            cwd=str(Path.cwd()),
            launcher=self.config.hydra.runtime.choices["hydra/launcher"],
            commit=commit(),
            began=time.strftime("%Y-%m-%dT%H:%M:%S"),
            jobs={name: Job([o for o in overrides if o not in common], n) for name, (overrides, n) in jobs.items()},
            folders=[str(folder) for folder in own_folders()],
            prompts=prompt_sets(self.params[KEY]) if KEY in self.params else {},
        )

    def _missing(self, folder: SweepFolder, jobs: dict[str, tuple[list[str], int]], anew: set[str]) -> list[list[str]]:
        """The overrides of the runs that are to be launched."""
        rows = [row for row in folder.rows() if row.name in jobs]
        todo = anew | {row.name for row in rows if row.state in ("failed", "pending")}
        print(f"{folder.path}: {count(rows)}; {len(todo)} to do.", flush=True)
        now = commit()
        made = {str(Run(folder.path / row.name).summary.get("commit")) for row in rows if row.state == "done"}
        if made - {str(now)}:
            print(
                f"What is done is kept, though commit {', '.join(sorted(made))} made it, not {now}; name=... runs all."
            )
        for name in todo:
            (folder.path / name / "FAILED").unlink(missing_ok=True)  # of the last attempt
        return [[*overrides, *self._place(name)] for name, (overrides, _) in jobs.items() if name in todo]

    def _place(self, name: str) -> list[str]:
        """The override that puts a run into its folder, where that follows from its number among all runs."""
        assert self.config is not None
        numbered = "hydra.job." in str(OmegaConf.to_container(self.config.hydra.sweep, resolve=False))
        return [f"hydra.sweep.subdir={quoted(name)}"] if numbered else []

    def _launch(self, folder: SweepFolder, todo: list[list[str]]) -> None:
        assert self.launcher is not None
        first = 0
        try:
            for batch in self.split_overrides_to_chunks(todo, self.max_batch_size):
                self.launcher.launch(batch, initial_job_idx=first)
                first += len(batch)
        except GsdError:
            raise
        except OSError as error:  # no folder for a run can be made
            print(error, file=sys.stderr)
        except Exception:  # a launcher that loses a worker may give up on all; each run is told of below
            traceback.print_exc()
        except (KeyboardInterrupt, SystemExit) as stop:
            print(f"{folder.path}: {count(folder.rows())}; the same command continues.")
            raise SystemExit(130 if isinstance(stop, KeyboardInterrupt) else stop.code) from None


def _check_size(overrides: list[Override]) -> None:
    """Refuse a sweep over nothing, and one of more runs than can be listed, before they are."""
    runs = 1
    for override in overrides:
        value = override.value()
        if isinstance(value, IntervalSweep):
            raise GsdError(f"{override.input_line} is for sweepers that choose values, as hydra/sweeper=optuna.")
        if isinstance(value, RangeSweep):
            steps = ((value.stop or 0) - (value.start or 0)) / value.step if value.step else 0
            count = max(0, math.ceil(min(steps, MOST + 1)))
        else:
            count = len(value.list) if isinstance(value, ChoiceSweep) else 1
        if not count:
            raise GsdError(f"{override.input_line} has no values, so there would be no run.")
        runs *= count
    if runs > MOST:
        raise GsdError(f"This sweep has {runs} runs and may have {MOST}; leave some values out.")


def _typed() -> list[str]:
    """What sets the sweep: where it lies follows from its folder, and that it is one from its record."""
    return [word for word in sys.argv[1:] if word not in ("-m", "--multirun") and not word.startswith(INTO)]


def _refuse_beside_jobs(folder: SweepFolder) -> None:
    """A sweep may have ended, by Ctrl-C, and its jobs not."""
    try:
        jobs = active(folder.path)
    except GsdError:  # no Slurm here
        return
    if jobs:
        raise GsdError(
            f"{told(jobs.values())} An earlier sweep into {folder.path} left them; wait for them, or end them by "
            f"gsd sweep cancel {folder.path}"
        )


def into(path: Path) -> str:
    """The override that puts a sweep into a folder."""
    return f"{INTO}{quoted(str(path.absolute()))}"


def _written(config: DictConfig, key: str) -> Any:
    """As it is written, unresolved: folders and names in it follow from the rest of a job's config."""
    found = OmegaConf.select(config, key)
    return OmegaConf.to_container(found, resolve=False) if OmegaConf.is_config(found) else found


def _refuse_other_sweeps(sweep: DictConfig, job: DictConfig, overrides: list[str]) -> None:
    """A preset that is swept over may ask for a launcher or a sweep of its own, which no job can have."""
    for key in ("hydra.launcher", "hydra.sweeper.params"):
        if _written(sweep, key) != _written(job, key):
            asked = job.hydra.runtime.choices["hydra/launcher"]
            mend = f"add hydra/launcher={asked} to the command line" if key == "hydra.launcher" else "run it on its own"
            raise GsdError(f"{' '.join(overrides)} sets {key}, which a sweep over presets cannot follow; {mend}.")


def _require_plugin(config: DictConfig) -> None:
    target = config.hydra.launcher._target_
    package = "hydra_joblib_launcher" if target == SIDE_BY_SIDE else target.split(".")[1]
    if package.startswith("hydra_") and find_spec(f"hydra_plugins.{package}") is None:
        raise GsdError(missing_plugin(config.hydra.runtime.choices["hydra/launcher"], package))
