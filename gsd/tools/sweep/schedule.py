"""Scheduled sweeps: a script for one tick, and what calls it at times: Slurm, cron or systemd."""

from __future__ import annotations

import shlex
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
        """The shell command that installs the schedule, in the place of one of the same name."""
        if self.backend == "slurm":
            return f"sbatch {shlex.quote(str(self.script))}"
        if self.backend == "cron":
            own = shlex.quote(f" {shlex.quote(str(self.script))} >>")
            kept = f"kept=$(crontab -l 2>/dev/null | grep -vF {own})"  # crontab -l fails while there is none
            return f"{kept}; printf '%s\\n' ${{kept:+\"$kept\"}} {shlex.quote(self.crontab_line)} | crontab -"
        units = shlex.join(str(self.folder / f"{self.name}.{kind}") for kind in ("service", "timer"))
        timer = shlex.quote(f"{self.name}.timer")
        return (
            f"mkdir -p ~/.config/systemd/user && cp {units} ~/.config/systemd/user && "
            f"systemctl --user daemon-reload && systemctl --user enable --now {timer}"
        )

    def install(self) -> str:
        """Run `installation`; Slurm refuses to book a second tick. Returns what has been done."""
        if self.backend == "slurm":
            booked = slurm("squeue", "--me", "-h", "-n", self.name, "-o", "%i").split()
            if booked:
                raise GsdError(f"{self.name} is booked as job {booked[0]}; first end it: scancel --me -n {self.name}")
        done = subprocess.run(self.installation(), shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GsdError(f"{self.installation()}: {done.stderr.strip() or 'failed'}; see --backend for others.")
        return done.stdout.strip() or f"Installed: {self.name}, {self.when}"

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
