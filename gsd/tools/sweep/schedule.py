"""Scheduled sweeps: a script for one tick, and what calls it at times: Slurm, cron or systemd."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from gsd.cli.folders import SAFE, VARIABLE, child_environment
from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.tools.sweep.clock import Clock
from gsd.tools.sweep.queue import slurm
from gsd.tools.sweep.tick import KEEP

Backend = Literal["slurm", "cron", "systemd"]
SERVICE = """[Unit]
Description=gsd: a tick of {name}

[Service]
Type=oneshot
ExecStart=/bin/bash {script}
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


SBATCH = re.compile(r"--[a-z][a-z-]*(=.+)?")  # one option, as it is written on one line


@dataclass(frozen=True)
class Schedule:
    """A sweep and when it ticks. Its script and its ticks lie in multirun/NAME."""

    overrides: Sequence[str]
    clock: Clock
    backend: Backend
    keep: int | None = None  # ticks on disk
    sbatch: Sequence[str] = ()  # options of the tick's own job

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise GsdError(KEEP.format(self.keep))
        for option in self.sbatch:
            if not (option.isprintable() and SBATCH.fullmatch(option)):
                raise GsdError(f"--sbatch takes one option, as --sbatch=--partition=cpu; {option!r} is none.")

    @cached_property
    def folder(self) -> Path:
        folder = _sweep_folder(self.overrides).absolute()
        if not str(folder).isprintable() or "\\" in str(folder):
            raise GsdError(f"{str(folder)!r} has characters that schedulers cannot take; start from another folder.")
        return folder

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
    def unit(self) -> str:
        """The name in the letters that systemd takes."""
        return re.sub(rb"[^\w.-]", lambda found: b"\\x%02x" % ord(found[0]), self.name.encode()).decode()

    @property
    def crontab_line(self) -> str:
        """cron takes a bare % for the end of the command."""
        command = f"{shlex.quote(str(self.script))} >> {shlex.quote(str(self.log))} 2>&1 # {self.name}"
        return f"{self.when} {_in_crontab(command)}"

    def write(self) -> list[Path]:
        """The script, and for systemd its units."""
        files = {self.script.name: self._script()}
        if self.backend == "systemd":
            name, script = _of_systemd(self.name), _of_systemd(str(self.script)).replace('"', '\\"').replace("$", "$$")
            log = _of_systemd(str(self.log))
            files[f"{self.unit}.service"] = SERVICE.format(name=name, script=f'"{script}"', log=log)
            files[f"{self.unit}.timer"] = TIMER.format(name=name, calendar=self.when)
        for name, text in files.items():
            RunFolder(self.folder).write(name, text)
        self.script.chmod(0o755)
        return [self.folder / name for name in files]

    def installation(self) -> str:
        """The shell command that installs the schedule, in the place of one of the same name."""
        if self.backend == "slurm":
            return f"sbatch {shlex.quote(str(self.script))}"
        if self.backend == "cron":
            own = shlex.quote(_in_crontab(f" {shlex.quote(str(self.script))} >>"))
            kept = f"kept=$(crontab -l 2>/dev/null | grep -vF {own})"  # crontab -l fails while there is none
            return f"{kept}; printf '%s\\n' ${{kept:+\"$kept\"}} {shlex.quote(self.crontab_line)} | crontab -"
        units = shlex.join(str(self.folder / f"{self.unit}.{kind}") for kind in ("service", "timer"))
        timer = shlex.quote(f"{self.unit}.timer")
        return (
            f"mkdir -p ~/.config/systemd/user && cp {units} ~/.config/systemd/user && "
            f"systemctl --user daemon-reload && systemctl --user enable --now {timer}"
        )

    def install(self) -> str:
        """Run `installation`; Slurm refuses to book a second tick. Returns what has been done."""
        if self.backend == "slurm":
            jobs = [line.split(" ", 1) for line in slurm("squeue", "--me", "-h", "-o", "%i %j").splitlines()]
            booked = [job for job, name in jobs if name == self.name]
            if booked:
                raise GsdError(f"{self.name} is booked as job {booked[0]}; first end it: scancel {booked[0]}")
        done = subprocess.run(self.installation(), shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GsdError(f"{self.installation()}: {done.stderr.strip() or 'failed'}; see --backend for others.")
        return done.stdout.strip() or f"Installed: {self.name}, {self.when}"

    def _script(self) -> str:
        options, booking = [], []
        if self.backend == "slurm":
            options = [f"--job-name={self.name}", f"--begin={self.when}", "--dependency=singleton"]
            log = str(self.log).replace("%", "%%")  # %j is the job's number
            options += [f"--output={log}", "--open-mode=append", *self.sbatch]
            # The next tick first: one that fails does not end the series
            booking = [f"sbatch {shlex.quote(str(self.script))}"]
        environment = child_environment()
        keep = ["--keep", str(self.keep)] if self.keep is not None else []
        tick = [sys.executable, "-m", "gsd", "sweep", "tick", str(self.folder), *self.overrides, *keep]
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH {_of_sbatch(option)}" for option in options),
            f"# A tick of {self.folder.name}, written by gsd sweep schedule; {self.backend}: {self.when}",
            shlex.join(["export", *(f"{name}={environment[name]}" for name in ("PATH", "PYTHONPATH", SAFE, VARIABLE))]),
            f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
            *booking,
            f"exec {shlex.join(tick)}",
        ]
        return "\n".join(lines) + "\n"


def _of_sbatch(option: str) -> str:
    """One word, as sbatch reads a line of a script: an escaped space would end it."""
    if re.fullmatch(r"[\w@%+=:,./-]+", option):
        return option
    return '"' + re.sub(r'["\\]', r"\\\g<0>", option) + '"'


def _of_systemd(text: str) -> str:
    return text.replace("%", "%%")


def _in_crontab(command: str) -> str:
    return command.replace("%", "\\%")


def _sweep_folder(overrides: Sequence[str]) -> Path:
    """multirun/NAME. Every run is composed and made, so that mistakes show now and not at night."""
    from hydra.types import RunMode

    from gsd.cli.hydra import compose
    from gsd.tools.sweep.rehearsal import rehearse

    config = compose(*overrides)
    if config.hydra.mode != RunMode.MULTIRUN:
        raise GsdError(f"{' '.join(overrides)} is no sweep; take a preset that is one, as experiment=nightly_ablation.")
    rehearse(config, overrides)
    return Path(config.hydra.sweep.dir)
