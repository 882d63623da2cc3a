"""What each noising costs a view, how that grows with points and pixels, and how much memory it takes.

    python experiments/benchmarks/noising.py [--quick] [--memory-only | --time-only] [--device cuda] [--out DIR]

A call makes the maps of two views 5 degrees apart with 4 channels, values drawn anew, on gsd.noising.check.reference;
figures are milliseconds a view. All options of a case take turns in one process, so that ratios hold on shared cores.
Time is processor time of one thread, on CUDA the time between two events. Writes result.json, table.md and growth.png.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads must not burn the cores measured

import argparse
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from noising_report import plot, table

from gsd.geometry import geometry_at
from gsd.noising.check.reference import cameras, render, surface
from gsd.protocols import Noising
from gsd.random import Stream
from gsd.tools.noising_check import configured

OPTIONS = {
    "random": "noising=random",
    "bilinear": "noising=bilinear",
    "nearest": "noising=nearest",
    "split_nearest": "noising=split_nearest",
    "integral (chang)": "noising=integral",
    "integral (deng)": "noising=integral noising.algorithm=deng",
    "consistent": "noising=consistent",
    "consistent, N = 1": "noising=consistent noising.upsample=1",
    "consistent, tent": "noising=consistent noising.kernel=tent",
    "lattice": "noising=lattice",
    "lattice, tent": "noising=lattice noising.kernel=tent",
}
POINTS, SIZE, VIEWS, CHANNELS = 5_000, 64, 2, 4
COUNTS, SIZES = (1_000, 5_000, 20_000, 100_000, 500_000), (32, 64, 128, 256)
MEMORY = (
    "random",
    "integral (chang)",
    "integral (deng)",
    "consistent",
    "consistent, N = 1",
    "consistent, tent",
    "lattice",
)


def job(noising: Noising, points: int, size: int, device: str) -> Callable[[], float]:
    """A function that makes the maps of the next step and returns milliseconds a view."""
    cams = cameras(0.0, 5.0, size=size)
    scene, shown, cams = (_to(x, device) for x in (surface(points), render(cams), cams))
    geometry = geometry_at(scene, shown, cams, size, size)
    step = iter(range(10**9))

    def once() -> float:
        stream = Stream(0, "time", next(step))
        if device == "cpu":
            start = time.process_time()
            noising(geometry, CHANNELS, stream)
            return 1e3 * (time.process_time() - start) / VIEWS
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        noising(geometry, CHANNELS, stream)
        after.record()
        torch.cuda.synchronize()
        return before.elapsed_time(after) / VIEWS

    return once


def _to(x: Any, device: str) -> Any:
    tensors = {f.name: getattr(x, f.name) for f in fields(x) if isinstance(getattr(x, f.name), torch.Tensor)}
    return replace(x, **{name: tensor.to(device) for name, tensor in tensors.items()})


def alternate(jobs: dict[str, Callable[[], float]], seconds: float) -> dict[str, dict[str, float]]:
    """Medians and minima of jobs that take turns for about `seconds`, at least three rounds after a first untimed one.

    Before each timed call goes one that is not: it finds the caches and the heap as the job before left them.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for once in jobs.values():
        once()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 3:
        for name, once in jobs.items():
            once()
            times[name].append(once())
    return {name: {"median": statistics.median(t), "min": min(t), "rounds": len(t)} for name, t in times.items()}


def timings(quick: bool, device: str) -> dict[str, Any]:
    counts, sizes = (COUNTS[:3], SIZES[:2]) if quick else (COUNTS, SIZES)
    result: dict[str, Any] = {"points": {}, "pixels": {}}
    cases = [("points", n, n, SIZE) for n in counts] + [("pixels", s, POINTS, s) for s in sizes]
    for axis, at, points, size in cases:
        if axis == "pixels" and size == SIZE:
            result[axis][str(at)] = result["points"][str(POINTS)]
            continue
        jobs = {name: job(configured(o.split()), points, size, device) for name, o in OPTIONS.items()}
        result[axis][str(at)] = alternate(jobs, 1.5 if quick else 5.0)
        line = ", ".join(f"{name} {entry['median']:.2f}" for name, entry in result[axis][str(at)].items())
        print(f"{points} points, {size} pixels: {line} ms", flush=True)
    return result


def memory(option: str, points: int) -> float:
    """Peak memory in MB of making maps, above what a fresh process holds once the scene is there."""
    line = [sys.executable, __file__, "--peak", option, str(points)]
    return float(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def peak(option: str, points: int) -> float:
    """Of this process, which has done nothing else; Linux only (it resets the kernel's high-water mark)."""
    torch.set_num_threads(1)
    noising = configured(OPTIONS[option].split())
    job(noising, 64, SIZE, "cpu")()  # compile
    once = job(noising, points, SIZE, "cpu")
    ctypes.CDLL(None).malloc_trim(0)  # what making the scene has freed must not be had for nothing
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    for _ in range(3):
        once()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer cases and repetitions")
    parser.add_argument("--time-only", action="store_true", help="keep the memory figures that are there")
    parser.add_argument("--memory-only", action="store_true", help="keep the times that are there")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks/noising"))
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)  # how `memory` calls itself
    args = parser.parse_args()
    if args.peak:
        print(peak(args.peak[0], int(args.peak[1])))
        return
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "result.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if not args.memory_only:
        machine = platform.processor() or platform.machine()
        result |= {"device": args.device, "machine": machine, "torch": torch.__version__}
        result |= timings(args.quick, args.device)
    if not args.time_only and args.device == "cpu":
        counts = COUNTS[1:3] if args.quick else COUNTS[1:]
        result["memory"] = {name: {str(n): memory(name, n) for n in counts} for name in MEMORY}
    file.write_text(json.dumps(result, indent=1))
    (args.out / "table.md").write_text(table(result))
    if "points" in result:
        plot(result, args.out / "growth.png")
    print(table(result), f"\n{args.out}/result.json, table.md, growth.png", sep="")


if __name__ == "__main__":
    main()
