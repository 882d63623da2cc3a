"""What the benchmarks share: options, jobs that take turns, memory of a process, growth, and writing the result."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads must not burn the cores measured

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")


def parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=Path("outputs/benchmarks") / name)
    return options


def machine() -> dict[str, Any]:
    return {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}


def take_turns(jobs: dict[str, Callable[[], T]], seconds: float) -> dict[str, list[T]]:
    """What jobs return that take turns for about `seconds`, at least three rounds.

    Each call that counts comes after one that does not: it finds the caches and the heap as the job itself left them.
    """
    found: dict[str, list[T]] = {name: [] for name in jobs}
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or rounds < 3:
        rounds += 1
        for name, once in jobs.items():
            once()
            found[name].append(once())
    return found


def least_ms(jobs: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Least processor time of each job in ms."""

    def timed(once: Callable[[], Any]) -> Callable[[], float]:
        def measured() -> float:
            start = time.process_time()
            once()
            return 1e3 * (time.process_time() - start)

        return measured

    found = take_turns({name: timed(once) for name, once in jobs.items()}, seconds)
    return {name: min(times) for name, times in found.items()}


def memory_mb(what: str = "VmHWM") -> float:
    """Of this process: its peak (VmHWM) or what it holds now (VmRSS). Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def apart(script: str, *arguments: object) -> float:
    """The number that a script prints last, in a process of its own."""
    command = [sys.executable, script, *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def exponent(counts: Sequence[float], times: Sequence[float]) -> float:
    """Slope of log time over log count."""
    return float(np.polyfit(np.log(counts), np.log(times), 1)[0])


def publish(out: Path, result: dict[str, Any], table: str = "", growth: Any = None) -> None:
    """Write result.json, table.md and the figure growth.png as far as they are given; print the table."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text(json.dumps(result, indent=1, default=str) + "\n")
    if table:
        (out / "table.md").write_text(table)
    if growth:
        growth.savefig(out / "growth.png", dpi=120)
    print(table, f"\n{out}/result.json", ", table.md" * bool(table), ", growth.png" * bool(growth), sep="")
