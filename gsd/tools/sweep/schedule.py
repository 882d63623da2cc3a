"""Scheduled sweeps: a script for one tick, and what makes it tick: Slurm, cron or systemd."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from gsd.cli.folders import VARIABLE, child_environment
from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.tools.sweep.clock import Clock
from gsd.tools.sweep.queue import slurm

Backend = Literal["slurm", "cron", "systemd"]
SERVICE = """[Unit]
Description=gsd: a tick of {name}

[Service]
Type=oneshot
ExecStart={script}
StandardOutput=append:{log}
StandardError=inherit
"""
TIMER = """[Unit]
Description=gsd: {name} ticks

[Timer]
OnCalendar={calendar}
Persistent=true

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class Schedule:
    """A sweep and when it ticks. Its script and its ticks lie in multirun/NAME."""

    overrides: Sequence[str]
    clock: Clock
    backend: Backend
    keep: int | None = None  # ticks on disk
    sbatch: Sequence[str] = ()  # options of the tick's own job

    @cached_property
    def folder(self) -> Path:
        return _sweep_folder(self.overrides).absolute()

    @property
    def name(self) -> str:
        """Of the job, the timer, the line of the crontab."""
        return f"gsd-{self.folder.name}"

    @property
    def script(self) -> Path:
        return self.folder / "tick.sh"

    @property
    def log(self) -> Path:
        return self.folder / "schedule.log"

    @property
    def when(self) -> str:
        return str(getattr(self.clock, self.backend))

    @property
    def crontab_line(self) -> str:
        return f"{self.when} {shlex.quote(str(self.script))} >> {shlex.quote(str(self.log))} 2>&1 # {self.name}"

    def write(self) -> list[Path]:
        """The script, and for systemd its units."""
        files = {self.script.name: self._script()}
        if self.backend == "systemd":
            files[f"{self.name}.service"] = SERVICE.format(name=self.name, script=self.script, log=self.log)
            files[f"{self.name}.timer"] = TIMER.format(name=self.name, calendar=self.when)
        for name, text in files.items():
            RunFolder(self.folder).write(name, text)
        self.script.chmod(0o755)
        return [self.folder / name for name in files]

    def installation(self) -> str:
        """What `install` does, as one would type it."""
        if self.backend == "slurm":
            return f"sbatch {shlex.quote(str(self.script))}"
        if self.backend == "cron":
            return f"(crontab -l; echo {shlex.quote(self.crontab_line)}) | crontab -"
        units = shlex.join(str(self.folder / f"{self.name}.{kind}") for kind in ("service", "timer"))
        return f"cp {units} {_units()}; systemctl --user daemon-reload; systemctl --user enable --now {self.name}.timer"

    def install(self) -> str:
        """What stands under the same name is replaced, or in Slurm refused. Returns what has been done."""
        if self.backend == "slurm":
            booked = slurm("squeue", "--me", "-h", "-n", self.name, "-o", "%i").split()
            if booked:
                raise GsdError(f"{self.name} is booked as job {booked[0]}; first end it: scancel --me -n {self.name}")
            return slurm("sbatch", str(self.script)).strip()
        if self.backend == "cron":
            listed = _run("crontab", "-l", check=False)  # fails while there is none
            kept = [line for line in listed.splitlines() if not line.endswith(f"# {self.name}")]
            _run("crontab", "-", given="\n".join([*kept, self.crontab_line]) + "\n")
            return f"In the crontab: {self.crontab_line}"
        _units().mkdir(parents=True, exist_ok=True)
        for kind in ("service", "timer"):
            shutil.copy(self.folder / f"{self.name}.{kind}", _units())
        _run("systemctl", "--user", "daemon-reload")
        _run("systemctl", "--user", "enable", "--now", f"{self.name}.timer")
        return f"{self.name}.timer is enabled."

    def _script(self) -> str:
        options, booking = [], []
        if self.backend == "slurm":
            options = [f"--job-name={self.name}", f"--begin={self.when}", "--dependency=singleton"]
            options += [f"--output={self.log}", "--open-mode=append", *self.sbatch]
            # The next tick first: one that fails does not end the series
            booking = [f"sbatch {shlex.quote(str(self.script))}"]
        environment = child_environment()
        keep = ["--keep", str(self.keep)] if self.keep else []
        tick = [sys.executable, "-m", "gsd", "sweep", "tick", str(self.folder), *self.overrides, *keep]
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in options),
            f"# A tick of {self.folder.name}, written by gsd sweep schedule; {self.backend}: {self.when}",
            shlex.join(["export", *(f"{name}={environment[name]}" for name in ("PATH", "PYTHONPATH", VARIABLE))]),
            f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
            *booking,
            f"exec {shlex.join(tick)}",
        ]
        return "\n".join(lines) + "\n"


def _sweep_folder(overrides: Sequence[str]) -> Path:
    """multirun/NAME. The config is composed, so that mistakes show now and not at night."""
    from hydra.types import RunMode

    from gsd.cli.hydra import compose

    config = compose(*overrides)
    if config.hydra.mode != RunMode.MULTIRUN:
        raise GsdError(f"{' '.join(overrides)} is no sweep; take a preset that is one, as experiment=nightly_ablation.")
    return Path(config.hydra.sweep.dir)


def _units() -> Path:
    return Path.home() / ".config/systemd/user"


def _run(*command: str, given: str | None = None, check: bool = True) -> str:
    try:
        return subprocess.run(command, input=given, capture_output=True, text=True, check=check).stdout
    except FileNotFoundError as error:
        raise GsdError(f"There is no {command[0]} on this machine; take another --backend.") from error
    except subprocess.CalledProcessError as error:
        raise GsdError(f"{shlex.join(command)}: {error.stderr.strip() or 'failed'}.") from error
