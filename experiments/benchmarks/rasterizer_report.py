"""The table and the plots of rasterizer.py's result."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from gsd.results.markdown import table as markdown

COLOURS = {"cpu": "tab:blue", "twin": "tab:orange", "gsplat cuda": "tab:green", "floor": "tab:gray"}


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    cases = [
        {
            "Gaussians @ pixels x views": name,
            "cpu ms": times(entry["cpu"]),
            "minimum": times(least(entry["cpu"])),
            "twin/cpu": ratio(entry.get("twin"), entry["cpu"]),
            "gsplat torch/cpu": ratio(entry.get("gsplat torch"), entry["cpu"]),
            "gsplat cuda/cpu": ratio(entry.get("gsplat cuda"), entry["cpu"]),
            "cpu/floor": ratio(least(entry["cpu"]), entry.get("floor")),
        }
        for name, entry in result.items()
        if "@" in name
    ]
    threads = [
        {
            "threads": name,
            "1, ms of wall time": times(entry["1"]),
            "2": times(entry["2"]),
            "gain": ratio(entry["1"], entry["2"], 2),
            "gain of the kernels alone": ratio(entry["kernels 1"], entry["kernels 2"], 2),
        }
        for name, entry in result["threads"].items()
    ]
    note = (
        "What the kernels alone gain from a thread that never waits is less than 2 where the cores share caches or a "
        "clock, or other processes use them.\n"
    )
    memory = [{"memory above a tiny scene": name, "MB": f"{mb:.0f}"} for name, mb in result["memory"].items()]
    title, exponents = "growth from 5,000 Gaussians on", {k: v for k, v in result.items() if k.startswith("exponent ")}
    growth = [{title: k.removeprefix("exponent "), "exponent": f"{v:.2f}"} for k, v in exponents.items()]
    return "\n".join([markdown(cases), note, *map(markdown, (threads, memory, growth))])


def times(entry: dict[str, float]) -> str:
    return f"{entry['forward']:.2f} / {entry['both']:.2f}"


def least(entry: dict[str, float]) -> dict[str, float]:
    return {"forward": entry["forward_min"], "both": entry["both_min"]}


def ratio(a: dict[str, float] | None, b: dict[str, float] | None, digits: int = 1) -> str:
    """a / b, forward and both; empty where one was not measured."""
    return " / ".join(f"{a[k] / b[k]:.{digits}f}" for k in ("forward", "both")) if a and b else ""


def plot(result: dict[str, Any]) -> Any:
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    by_count, by_coverage, by_size = figure.subplots(1, 3)
    cases = {
        tuple(int(w) for w in k.replace("@", "").replace("x", "").split()): v for k, v in result.items() if "@" in k
    }

    def curve(axis: Any, points: list[tuple[int, float]], name: str, key: str) -> None:
        if points:
            style, word = ("o--", "forward") if key == "forward" else ("o-", "forward + backward")
            axis.plot(*zip(*sorted(points), strict=True), style, label=f"{name}, {word}", color=COLOURS[name], ms=4)

    for key in ("forward", "both"):
        for name in COLOURS:
            one = {(n, s): v[name][key] for (n, s, views), v in cases.items() if views == 1 and name in v}
            curve(by_count, [(n, t) for (n, s), t in one.items() if s == 256], name, key)
            curve(by_size, [(s, t) for (n, s), t in one.items() if n == 20_000], name, key)
        curve(by_coverage, [(int(n), v[key]) for n, v in result["same total coverage"].items()], "cpu", key)
    titles = {
        "256 pixels, 40 pixels per Gaussian": "Gaussians",
        "256 pixels, same total coverage": "Gaussians",
        "20,000 Gaussians, 40 pixels each": "image size (pixels)",
    }
    for axis, (title, label) in zip((by_count, by_coverage, by_size), titles.items(), strict=True):
        axis.set(xscale="log", yscale="log", title=title, xlabel=label, ylabel="ms, one thread")
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=7)
    return figure
