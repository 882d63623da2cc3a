"""What can be done to a sweep from outside: run again what is missing, stop what runs."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from gsd.cli.folders import child_environment, own_folders
from gsd.errors import GsdError
from gsd.results.folder import Holder, RunFolder
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep import queue
from gsd.tools.sweep.sweeper import into
from gsd.tools.sweep.trust import repeatable


def retry(folder: SweepFolder, extra: list[str]) -> int:
    """Repeat the sweeps in the folder that have runs missing or failed, here and into this folder.

    Only their overrides are taken from sweep.json (see `gsd.tools.sweep.trust`). Returns the worst exit code.
    extra: overrides put after them, as hydra.launcher.mem_gb=64 after a want of memory.
    """
    if not folder.sweeps:
        raise GsdError(f"{folder.path} has no sweep.json that would say how it was made; repeat the command itself.")
    open_ = {row.name for row in folder.rows() if row.state in ("failed", "pending")}
    named = [str(own) for own in own_folders()]
    todo = [sweep for sweep in folder.sweeps if open_ & sweep.jobs.keys()]
    commands = [
        [sys.executable, "-m", "gsd", "-m", *repeatable(folder, sweep, extra, named), *extra, into(folder.path)]
        for sweep in todo
    ]
    code = 0
    for command, sweep in zip(commands, todo, strict=True):
        if sweep.cwd != os.getcwd():
            print(f"It was started in {sweep.cwd!r}; relative paths are now those of {os.getcwd()}.")
        print(shlex.join(command), flush=True)
        code = max(code, subprocess.run(command, env=child_environment(), check=False).returncode)
    if not open_:
        print("Nothing is missing.")
    return code


def cancel(folder: SweepFolder) -> list[str]:
    """Stop the jobs of Slurm and the processes on this machine that work for the sweep; returns a line for each.

    Runs stop at a checkpoint. A process that waits for Slurm ends by itself when its jobs have. What a folder says of
    who works in it may be wrong, or another person's: only that is stopped of which Slurm or the kernel says so too.
    """
    rows = [folder.path / row.name for row in folder.rows() if row.state == "running"]
    jobs, done = {}, []
    try:
        jobs = queue.active(folder.path)
    except GsdError as error:  # no Slurm here
        done.append(str(error))
    if jobs:
        queue.slurm("scancel", *sorted(jobs))
        done.append(f"Slurm: {len(jobs)} jobs cancelled")
    found: dict[Holder, Path] = {}  # a second signal would interrupt
    for path in (*rows, *([] if jobs else [folder.path])):
        if holder := RunFolder(path).holder:
            found.setdefault(holder, path)
    return done + [_stop(holder, path) for holder, path in found.items() if holder.job not in jobs]


def _stop(holder: Holder, folder: Path) -> str:
    if holder.host != socket.gethostname():
        return f"{holder}: not on this machine; stop it there" + (f" or by scancel {holder.job}" if holder.job else "")
    try:
        if not _holds(holder.pid, folder / ".lock"):
            return f"{holder}: is not the process that works in {folder}; nothing was stopped"
        os.kill(holder.pid, signal.SIGTERM)
    except (ProcessLookupError, FileNotFoundError):
        return f"{holder}: has ended"
    except PermissionError:
        return f"{holder}: is another user's"
    return f"{holder}: told to stop at a checkpoint"


def _holds(pid: int, lock: Path) -> bool:
    """Whether the process has the file open. Without /proc the kernel's lock on the file has to do."""
    if not isinstance(pid, int) or pid < 2:
        return False
    if not Path("/proc/self/fd").exists():
        return True
    for handle in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.path.samefile(handle.path, lock):
                return True
    return False
