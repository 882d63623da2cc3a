"""Slurm's queue, asked by its own commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gsd.errors import GsdError

ENDED = frozenset(
    ["COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"]
)


def require_slurm() -> None:
    if shutil.which("sbatch") is None:
        raise GsdError(
            "There is no Slurm here (no sbatch): start the sweep where jobs are submitted, or take another launcher."
        )


def max_array_size() -> int:
    """Jobs that the cluster takes in one array."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", slurm("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(found[1])) if found else 1000


def queue(ids: Iterable[str]) -> dict[str, str]:
    """State of the user's jobs that Slurm still knows: "12_3" -> "RUNNING". An array's id stands for all its jobs."""
    wanted = set(ids)
    lines = (line.split() for line in slurm("squeue", "--me", "-hr", "-t", "all", "-o", "%i %T").splitlines())
    return {job: state for job, state in lines if job in wanted or job.split("_")[0] in wanted}


def wait(ids: set[str]) -> dict[str, str]:
    """Wait until the queue holds none of the jobs. Returns the last state seen of each."""
    states: dict[str, str] = {}
    began, before = time.monotonic(), ""
    while True:
        try:
            now = queue(ids)
        except GsdError as error:  # a controller that restarts
            print(error, file=sys.stderr)
        else:
            states |= now
            if told(now.values()) != before:
                before = told(now.values())
                print(before, flush=True)
            if all(state in ENDED for state in now.values()):
                return states
        time.sleep(min(30.0, 1 + (time.monotonic() - began) / 20))


def submitted(sweep: Path) -> list[str]:
    """Slurm's ids of everything that has been submitted for a sweep."""
    return sorted(p.name for p in (sweep / ".submitit").glob("[0-9]*"))


def active(sweep: Path) -> dict[str, str]:
    """State of the sweep's jobs that have not ended; empty where it has none.

    Its folder names their ids, and Slurm has to say that they were submitted from there: a copied or foreign folder
    may name any job.
    """
    ids = submitted(sweep)
    if not ids:
        return {}
    home = (sweep / ".submitit").resolve()
    scripts = (
        line.split(maxsplit=1) for line in slurm("squeue", "--me", "-hr", "-t", "all", "-o", "%i %o").splitlines()
    )
    own = {job for job, *script in scripts if script and home in Path(script[0]).resolve().parents}
    return {job: state for job, state in queue(ids).items() if state not in ENDED and job in own}


def told(states: Iterable[str]) -> str:
    """'Slurm: 2 pending, 1 running.'"""
    counts = sorted(Counter(states).items())
    return "Slurm: " + (", ".join(f"{n} {state.lower()}" for state, n in counts) or "no jobs") + "."


def slurm(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except FileNotFoundError as error:
        raise GsdError(f"There is no Slurm here: {command[0]} was not found.") from error
    except subprocess.TimeoutExpired as error:
        raise GsdError(f"Slurm does not answer: {command[0]} took a minute.") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or "failed").splitlines()[-1]
        raise GsdError(f"Slurm: {last.rstrip('.')}.") from error
