"""The table and the plots of rasterizer.py's result."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| Gaussians @ pixels x views | cpu ms | minimum | twin/cpu | gsplat torch/cpu | gsplat cuda/cpu | cpu/floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in result.items():
        if "@" not in name:
            continue
        c = entry["cpu"]
        least = {"forward": c["forward_min"], "both": c["both_min"]}
        cells = [
            f"{c['forward']:.2f} / {c['both']:.2f}", f"{c['forward_min']:.2f} / {c['both_min']:.2f}",
            ratio(entry.get("twin"), c), ratio(entry.get("gsplat torch"), c), ratio(entry.get("gsplat cuda"), c),
            ratio(least, entry.get("floor")),
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "What the kernels alone gain from a thread that never waits is less than 2 where the cores share caches or a "
        "clock, or other processes use them.",
        "",
        "| threads | 1, ms of wall time | 2 | gain | gain of the kernels alone |",
        "|---|---|---|---|---|",
    ]
    for name, entry in result["threads"].items():
        times = [f"{entry[t]['forward']:.2f} / {entry[t]['both']:.2f}" for t in ("1", "2")]
        gains = [ratio(entry["1"], entry["2"], 2), ratio(entry["kernels 1"], entry["kernels 2"], 2)]
        lines.append(f"| {name} | {' | '.join(times + gains)} |")
    lines += ["", "| memory above a tiny scene | MB |", "|---|---|"]
    lines += [f"| {name} | {value:.0f} |" for name, value in result["memory"].items()]
    lines += ["", "| growth, exponent of the number of Gaussians from 5,000 on | |", "|---|---|"]
    lines += [
        f"| {name.removeprefix('exponent ')} | {value:.2f} |" for name, value in result.items() if "exponent" in name
    ]
    return "\n".join(lines) + "\n"


def ratio(a: dict[str, float] | None, b: dict[str, float] | None, digits: int = 1) -> str:
    """a / b, forward and both; empty where one was not measured."""
    return " / ".join(f"{a[k] / b[k]:.{digits}f}" for k in ("forward", "both")) if a and b else ""


def plot(result: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), constrained_layout=True)
    cases = {
        tuple(int(w) for w in k.replace("@", "").replace("x", "").split()): v for k, v in result.items() if "@" in k
    }

    def curve(axis: Any, points: Any, label: str, style: str, colour: str) -> None:
        axis.plot(*zip(*sorted(points), strict=True), style, label=label, color=colour, markersize=4)

    styles = (("forward", "o--"), ("both", "o-"))
    for key, style in styles:
        word = "forward" if key == "forward" else "forward + backward"
        for name, colour in (
            ("cpu", "tab:blue"),
            ("twin", "tab:orange"),
            ("gsplat cuda", "tab:green"),
            ("floor", "tab:gray"),
        ):
            points = [(n, v[name][key]) for (n, s, c), v in cases.items() if s == 256 and c == 1 and name in v]
            if points:
                curve(axes[0], points, f"{name}, {word}", style, colour)
        points = [(int(n), v[key]) for n, v in result["same total coverage"].items()]
        curve(axes[1], points, f"cpu, {word}", style, "tab:blue")
        for name, colour in (("cpu", "tab:blue"), ("twin", "tab:orange"), ("floor", "tab:gray")):
            points = [(s, v[name][key]) for (n, s, c), v in cases.items() if n == 20_000 and c == 1 and name in v]
            curve(axes[2], points, f"{name}, {word}", style, colour)
    titles = ("256 pixels, 40 pixels a Gaussian", "256 pixels, same total coverage", "20,000 Gaussians, 40 pixels each")
    for axis, title, label in zip(axes, titles, ("Gaussians", "Gaussians", "image size (pixels)"), strict=True):
        axis.set(xscale="log", yscale="log", title=title, xlabel=label, ylabel="ms, one thread")
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=110)
