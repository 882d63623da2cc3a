"""What can be done to a sweep from outside: run again what is missing, stop what runs."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys

from gsd.cli.folders import child_environment
from gsd.errors import GsdError
from gsd.results.folder import Holder, RunFolder
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep import queue


def retry(folder: SweepFolder, extra: list[str]) -> int:
    """Repeat the commands of the sweeps in the folder that have runs missing or failed. Returns the worst exit code.

    extra: overrides put after those of the command, as hydra.launcher.mem_gb=64 after a want of memory.
    """
    if not folder.sweeps:
        raise GsdError(f"{folder.path} has no sweep.json that would say how it was made; repeat the command itself.")
    open_ = {row.name for row in folder.rows() if row.state in ("failed", "pending")}
    code = 0
    for sweep in folder.sweeps:
        if open_ & sweep.jobs.keys():
            command = [sys.executable, *sweep.command, *extra]
            print(shlex.join(command), flush=True)
            environment = child_environment(sweep.folders)
            code = max(code, subprocess.run(command, cwd=sweep.cwd, env=environment, check=False).returncode)
    if not open_:
        print("Nothing is missing.")
    return code


def cancel(folder: SweepFolder) -> list[str]:
    """Stop the jobs of Slurm and the processes on this machine that work for the sweep; returns a line for each.

    Runs stop at a checkpoint. A process that waits for Slurm ends by itself when its jobs have.
    """
    holders = [RunFolder(folder.path / row.name).holder for row in folder.rows() if row.state == "running"]
    jobs = {*queue.active(folder.path), *(holder.job for holder in holders if holder and holder.job)}
    done = []
    if jobs:
        queue.slurm("scancel", *sorted(jobs))
        done.append(f"Slurm: {len(jobs)} jobs cancelled")
    here = dict.fromkeys([*holders, None if jobs else folder.holder])
    return done + [_stop(holder) for holder in here if holder and holder.job is None]


def _stop(holder: Holder) -> str:
    if holder.host != socket.gethostname():
        return f"{holder}: not on this machine; stop it there"
    try:
        os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return f"{holder}: has ended"
    except PermissionError:
        return f"{holder}: is another user's"
    return f"{holder}: told to stop at a checkpoint"
