"""The table and the plots of noising.py's result."""

from __future__ import annotations

from typing import Any

from bench import exponent
from matplotlib import colormaps
from matplotlib.figure import Figure

from gsd.results.markdown import table as markdown

BASES = ("random", "integral (chang)", "integral (deng)")
SUB_POINTS = {"consistent": 9, "consistent, N = 1": 1, "consistent, tent": 9}
AXES = {"points": "points, 64 x 64 pixels", "pixels": "side of the map in pixels, 5,000 points"}


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
    return exponent([int(count) for count in largest], [cases[count][name]["median"] for count in largest])


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
