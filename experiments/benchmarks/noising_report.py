"""The table and the plots of noising.py's result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BASES = ("random", "integral (chang)", "integral (deng)")
SUB_POINTS = {"consistent": 9, "consistent, N = 1": 1, "consistent, tent": 9}


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = []
    for axis, fixed in (("points", "64 x 64 pixels"), ("pixels", "5,000 points")):
        if axis in result:
            lines += [*_times(result[axis], f"{axis}, {fixed}"), ""]
    if "64" in result.get("pixels", {}):
        lines += [*_ratios(result["pixels"]["64"]), ""]
    if "memory" in result:
        lines += _memory(result["memory"])
    return "\n".join(lines) + "\n"


def _times(cases: dict[str, Any], title: str) -> list[str]:
    lines = [f"| ms a view, median (minimum): {title} | " + " | ".join(f"{int(c):,}" for c in cases) + " | exponent |"]
    lines += ["|---" * (len(cases) + 2) + "|"]
    for name in next(iter(cases.values())):
        entries = [case[name] for case in cases.values()]
        cells = [f"{e['median']:.2f} ({e['min']:.2f})" for e in entries]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {exponent(cases, name):.2f} |")
    return lines


def exponent(cases: dict[str, Any], name: str) -> float:
    """Slope of log time over log count (over the side, for pixels), of the three largest."""
    counts = list(cases)[-3:]
    return float(np.polyfit(np.log([int(c) for c in counts]), np.log([cases[c][name]["median"] for c in counts]), 1)[0])


def _ratios(case: dict[str, Any]) -> list[str]:
    lines = ["| 5,000 points, 64 x 64 | " + " | ".join(f"times {base}" for base in BASES) + " |", "|---|---|---|---|"]
    for name, entry in case.items():
        lines.append(f"| {name} | " + " | ".join(f"{entry['median'] / case[b]['median']:.2f}" for b in BASES) + " |")
    return lines


def _memory(memory: dict[str, Any]) -> list[str]:
    counts = list(next(iter(memory.values())))
    lines = [
        "| peak memory in MB, 64 x 64; points | " + " | ".join(f"{int(c):,}" for c in counts) + " | bytes a sub-point |"
    ]
    lines += ["|---" * (len(counts) + 2) + "|"]
    for name, peaks in memory.items():
        cells = [f"{peaks[c]:.1f}" for c in counts]
        bytes_each = ""
        if name in SUB_POINTS:
            bytes_each = f"{peaks[counts[-1]] * 2**20 / (int(counts[-1]) * SUB_POINTS[name]):.0f}"
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {bytes_each} |")
    return lines


def plot(result: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(15, 5), layout="constrained")
    labels = (("points", "points, at 64 x 64 pixels"), ("pixels", "side of the map in pixels, 5,000 points"))
    clock = "one thread" if result.get("device") == "cpu" else "CUDA"
    for axis, (key, label) in zip(axes, labels, strict=True):
        cases = result[key]
        for k, name in enumerate(next(iter(cases.values()))):
            times = [case[name]["median"] for case in cases.values()]
            style = {"color": plt.cm.tab20(k), "marker": "osD^v"[k % 5], "markersize": 4}
            axis.plot([int(c) for c in cases], times, label=f"{name}: ~ n^{exponent(cases, name):.2f}", **style)
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel=f"ms a view, {clock}")
        axis.set_xticks([int(c) for c in cases], [f"{int(c):,}" for c in cases])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(
            fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), title="fitted to the three largest", title_fontsize=8
        )
    figure.savefig(path, dpi=130)
    plt.close(figure)
