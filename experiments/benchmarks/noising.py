"""What each noising costs per view, how that grows with points and pixels, and how much memory it takes.

    python experiments/benchmarks/noising.py [--quick] [--device cuda] [--out DIR]

A call makes the maps of two views 5 degrees apart with 4 channels, values drawn anew, on gsd.noising.check.reference;
times are milliseconds per view. All options of a case take turns in one process, so that ratios hold on shared cores.
Time is processor time of one thread, on CUDA the time between two events. Writes result.json, table.md and growth.png.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from gsd.geometry import geometry_at
from gsd.noising.check.acceptance import to_device
from gsd.noising.check.reference import cameras, render, surface
from gsd.protocols import Noising
from gsd.random import Stream
from gsd.results.markdown import table as markdown
from gsd.tools.noising_check import configured

OPTIONS = {
    "random": "noising=random",
    "bilinear": "noising=bilinear",
    "nearest": "noising=nearest",
    "split_nearest": "noising=split_nearest",
    "integral (chang)": "noising=integral",
    "integral (deng)": "noising=integral noising.algorithm=deng",
    "consistent": "noising=consistent",
    "consistent, box": "noising=consistent noising.kernel=box",
    "paper": "noising=paper",
    "points, N = 9": "noising=consistent noising.upsample=9 noising.cells=0 noising.kernel=box",
    "points, N = 1": "noising=consistent noising.cells=0 noising.kernel=box",
    "consistent, tent": "noising=consistent noising.kernel=tent",
    "lattice": "noising=lattice",
    "lattice, tent": "noising=lattice noising.kernel=tent",
}
POINTS, SIZE, VIEWS, CHANNELS = 5_000, 64, 2, 4
COUNTS, SIZES = (1_000, 5_000, 20_000, 100_000, 500_000), (32, 64, 128, 256)
MEMORY = (
    "random", "integral (chang)", "integral (deng)", "consistent", "points, N = 9", "points, N = 1", "lattice",
)  # fmt: skip
BASES = ("random", "integral (chang)", "integral (deng)")  # of ratios
SUB_POINTS = {"points, N = 9": 9, "points, N = 1": 1}
AXES = {"points": "points, 64 x 64 pixels", "pixels": "side of the map in pixels, 5,000 points"}


def job(noising: Noising, points: int, size: int, device: str) -> Callable[[], float]:
    """A function that makes the maps of the next step and returns milliseconds per view."""
    cams = cameras(0.0, 5.0, size=size)
    scene, shown, cams = (to_device(x, torch.device(device)) for x in (surface(points), render(cams), cams))
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


def timings(quick: bool, device: str) -> dict[str, Any]:
    counts, sizes = (COUNTS[:3], SIZES[:2]) if quick else (COUNTS, SIZES)
    result: dict[str, Any] = {"points": {}, "pixels": {}}
    cases = [("points", n, n, SIZE) for n in counts] + [("pixels", s, POINTS, s) for s in sizes]
    for axis, at, points, size in cases:
        if axis == "pixels" and size == SIZE:
            result[axis][str(at)] = result["points"][str(POINTS)]
            continue
        jobs = {name: job(configured(o.split()), points, size, device) for name, o in OPTIONS.items()}
        times = bench.take_turns(jobs, 1.5 if quick else 5.0)
        result[axis][str(at)] = {n: {"median": statistics.median(t), "min": min(t)} for n, t in times.items()}
        line = ", ".join(f"{name} {entry['median']:.2f}" for name, entry in result[axis][str(at)].items())
        print(f"{points} points, {size} pixels: {line} ms", flush=True)
    return result


def peak(option: str, points: int) -> float:
    """Memory in MB of making maps, above what this process holds once the scene is there; it has done nothing else."""
    torch.set_num_threads(1)
    noising = configured(OPTIONS[option].split())
    job(noising, 64, SIZE, "cpu")()  # compile
    once = job(noising, points, SIZE, "cpu")
    ctypes.CDLL(None).malloc_trim(0)  # what making the scene has freed must not be had for nothing
    Path("/proc/self/clear_refs").write_text("5")  # reset the kernel's high-water mark
    before = bench.memory_mb("VmRSS")
    for _ in range(3):
        once()
    return bench.memory_mb() - before


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    tables = [_times(result[axis], title) for axis, title in AXES.items() if axis in result]
    if "64" in result.get("pixels", {}):
        tables.append(_ratios(result["pixels"]["64"]))
    if "memory" in result:
        tables.append(_memory(result["memory"]))
    return "\n".join(markdown(rows) for rows in tables)


def _times(cases: dict[str, Any], title: str) -> list[dict[str, Any]]:
    return [
        {f"ms per view, median (minimum): {title}": name}
        | {f"{int(count):,}": f"{case[name]['median']:.2f} ({case[name]['min']:.2f})" for count, case in cases.items()}
        | {"exponent": f"{growth(cases, name):.2f}"}
        for name in next(iter(cases.values()))
    ]


def growth(cases: dict[str, Any], name: str) -> float:
    """Exponent of the time over the count (over the side, for pixels), of the three largest."""
    largest = list(cases)[-3:]
    return bench.exponent([int(count) for count in largest], [cases[count][name]["median"] for count in largest])


def _ratios(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"5,000 points, 64 x 64": name}
        | {f"times {base}": f"{entry['median'] / case[base]['median']:.2f}" for base in BASES}
        for name, entry in case.items()
    ]


def _memory(memory: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, peaks in memory.items():
        *_, (most, peak) = peaks.items()
        each = f"{peak * 2**20 / (int(most) * SUB_POINTS[name]):.0f}" if name in SUB_POINTS else ""
        cells = {f"{int(count):,}": f"{value:.1f}" for count, value in peaks.items()}
        rows.append({"peak memory in MB, 64 x 64; points": name} | cells | {"bytes per sub-point": each})
    return rows


def plot(result: dict[str, Any]) -> Any:
    figure = Figure(figsize=(15, 5), layout="constrained")
    clock = "one thread" if result.get("device") == "cpu" else "CUDA"
    for axis, (key, label) in zip(figure.subplots(1, 2), AXES.items(), strict=True):
        cases = result[key]
        for k, name in enumerate(next(iter(cases.values()))):
            times = [case[name]["median"] for case in cases.values()]
            style = {"color": colormaps["tab20"](k), "marker": "osD^v"[k % 5], "markersize": 4}
            axis.plot([int(c) for c in cases], times, label=f"{name}: ~ n^{growth(cases, name):.2f}", **style)
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel=f"ms per view, {clock}")
        axis.set_xticks([int(c) for c in cases], [f"{int(c):,}" for c in cases])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        beside = {"loc": "upper left", "bbox_to_anchor": (1, 1), "fontsize": 8, "title_fontsize": 8}
        axis.legend(title="fitted to the three largest", **beside)
    return figure


def main() -> None:
    parser = bench.parser(__doc__, "noising")
    parser.add_argument("--quick", action="store_true", help="fewer cases and repetitions")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)  # how this script calls itself
    args = parser.parse_args()
    if args.peak:
        print(peak(args.peak[0], int(args.peak[1])))
        return
    torch.set_num_threads(1)
    result = {"device": args.device, **bench.machine(), **timings(args.quick, args.device)}
    if args.device == "cpu":
        counts = COUNTS[1:3] if args.quick else COUNTS[1:]
        result["memory"] = {o: {str(n): bench.apart(__file__, "--peak", o, n) for n in counts} for o in MEMORY}
    bench.publish(args.out, result, table(result), plot(result))


if __name__ == "__main__":
    main()
