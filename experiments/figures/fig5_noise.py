"""Fig. 5 of the paper for every noising: what its maps look like, and how they are distributed.

    python experiments/figures/fig5_noise.py ["LABEL: noising=NAME noising.KEY=VALUE ..." ...] [--draws N] [--out DIR]

One row per noising, on the scene of gsd.noising.check.reference: maps of two views 5 degrees apart, the covariance of a
patch of the second, its cross-covariance with the same patch of the object in the first, the distribution of its values
on the object, and numbers; a minute or two. With --scene RUN the scene is that of a run, at its checkpoint or after the
steps that --at says. Writes figure.png, figure.pdf, result.json and table.md.
"""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import plots
import sweeps
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gsd.geometry import co_visible, correspond, geometry_at
from gsd.noising.check.acceptance import ANGLES, POINTS
from gsd.noising.check.laws import ONE, patch
from gsd.noising.check.reference import cameras, render, surface, visible_in_both
from gsd.noising.check.sight import Sight, patches
from gsd.noising.check.statistics import correlation, correlations, corresponding, ks_p, off_diagonal
from gsd.protocols import Noising
from gsd.random import Stream
from gsd.results import markdown
from gsd.tools.noising_check import configured
from gsd.tools.run_sights import sights
from gsd.types import Cameras, Geometry

ALONE = "noising.upsample=9 noising.cells=0 noising.kernel=box"  # alone, and a pixel is a sum of those in it
ROWS = [
    "random: noising=random",
    "bilinear warping: noising=bilinear",
    "nearest warping: noising=nearest",
    "2D integral (Chang): noising=integral",
    "2D integral (Deng): noising=integral noising.algorithm=deng",
    "split nearest: noising=split_nearest",
    f"3D as printed (eq. 7, 8): noising=consistent {ALONE} noising.normalization=eq7_8",
    f"3D as in the text: noising=consistent {ALONE} noising.normalization=sentence",
    "3D consistent, points in a ball (paper): noising=paper noising.cells=0 noising.kernel=box",
    f"3D consistent, points along the surface: noising=consistent {ALONE}",
    "3D consistent, points and cells: noising=consistent noising.kernel=box",
    "3D consistent, trapezoid kernel (default): noising=consistent",
    "3D consistent, tent kernel: noising=consistent noising.kernel=tent",
    "lattice: noising=lattice",
    "lattice, tent kernel: noising=lattice noising.kernel=tent",
]
SIZE, SIDE, BINS = 64, 8, np.linspace(-4, 4, 81)
THIRD = "correlation of views 2 and 3, 5°"
TOLERANCE = 0.07  # world units: depths this close are the same surface
Matches = tuple[Float[Tensor, "1 h w 2"], Bool[Tensor, "h w"]]  # places in the second view, and pixels that have one


@dataclass(frozen=True)
class Place:
    """A scene, and how its first two views correspond."""

    sight: Sight
    matches: Callable[[Geometry], Matches]


def ideal() -> Place:
    """The scene of the thresholds, with points on its surface and exact correspondences."""

    def look(cams: Cameras) -> Geometry:
        return geometry_at(surface(POINTS), render(cams), cams, SIZE, SIZE)

    sight = Sight("an ideal scene", 0, cameras(0.0, size=SIZE), look, Stream(0, "acceptance"))
    return Place(sight, lambda seen: visible_in_both(seen.cameras[:2]))


def of_run(run: Path, steps: int | None) -> Place:
    """A run's scene, with correspondences by the rendered depth."""

    def matches(seen: Geometry) -> Matches:
        one, other = seen.cameras[:1], seen.cameras[1:2]
        coords, z = correspond(seen.depth[:1], one, other)
        both = co_visible(coords, z, seen.alpha[:1], seen.depth[1:2], seen.alpha[1:2], TOLERANCE)
        return coords.cpu(), both[0].cpu()

    return Place(next(sights(run, [] if steps is None else [steps])), matches)


def measure(noising: Noising, draws: int, place: Place) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """A row's pictures and numbers."""
    seen, few = place.sight.views(0.0, 5.0), max(draws // 5, 1)
    pair = place.sight.samples(noising, seen, draws)
    one, other = pair
    here, there = squares(*place.matches(seen))
    near, far = one[(slice(None), *here)].flatten(1), other[(slice(None), *there)].flatten(1)
    on_object = other[:, (seen.alpha[1, 0] > 0.5).cpu()]
    pictures = {
        "maps": cropped(pair[:, 0], seen),
        "covariance": (far.T @ far / len(far)).numpy(),
        "cross": (near.T @ far / len(far)).numpy(),
        "histogram": np.histogram(on_object.numpy(), BINS)[0] / on_object.numel() / np.diff(BINS),
    }
    whole = patch(other, patches(seen)["object"])
    off = off_diagonal(correlations(whole, whole))
    numbers = {
        "variance": float(on_object.var()),
        "KS p": ks_p(on_object),
        "off-diagonal": float((len(whole) - 1) * off.square().mean()),
    }
    for angle in ANGLES:
        views = seen if angle == 5.0 else place.sight.views(0.0, angle)
        maps = pair if angle == 5.0 else place.sight.samples(noising, views, few)
        numbers[f"correlation, {angle:g}°"] = correlation(*corresponding(maps, *place.matches(views)))
    if noising.max_views is None or noising.max_views >= 3:
        three = place.sight.views(0.0, 5.0, 10.0)
        last = replace(three, cameras=three.cameras[1:], depth=three.depth[1:], alpha=three.alpha[1:])
        others = place.sight.samples(noising, three, few)[1:]
        numbers[THIRD] = correlation(*corresponding(others, *place.matches(last)))
    numbers["ms per view"] = milliseconds(noising, seen)
    errors = {"variance error": (2 / on_object.numel()) ** 0.5, "off-diagonal error": (4 / off.numel()) ** 0.5}
    return pictures, numbers | errors


def squares(coords: Float[Tensor, "1 h w 2"], both: Bool[Tensor, "h w"]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """A patch of the first view in the middle of what both see, and where most of it is in the second."""
    places = both.nonzero()  # y, x
    y, x = (round(float(c) - SIDE / 2) for c in places.float().mean(0) + 0.5)
    middle = ((places - places.float().mean(0)).abs() < SIDE / 2).all(1)
    dx, dy = (round(float(c)) for c in (coords[0][both] - places.flip(1) - 0.5)[middle].mean(0))
    return (slice(y, y + SIDE), slice(x, x + SIDE)), (slice(y + dy, y + dy + SIDE), slice(x + dx, x + dx + SIDE))


def cropped(maps: Float[Tensor, "2 h w"], seen: Geometry) -> np.ndarray:
    """The square around the object; whole maps would be too fine to see anything."""
    left, top, right, bottom = (round(share * maps.shape[2]) for share in plots.window(seen.alpha[:, 0].cpu()))
    return maps[:, top:bottom, left:right].numpy()


def milliseconds(noising: Noising, seen: Geometry, repetitions: int = 40) -> float:
    """Least processor time per view of a pair, one thread, 4 channels."""
    times = []
    for step in range(repetitions):
        start = time.process_time()
        noising(seen, 4, Stream(0, "time", step))
        times.append(time.process_time() - start)
    return 1e3 * min(times) / 2


def row(spec: str, draws: int, place: Place) -> dict[str, Any]:
    label, _, settings = spec.rpartition(": ")
    pictures, numbers = measure(configured(settings.split()), draws, place)
    said = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items() if "error" not in name)
    print(f"{label or settings}: {said}", flush=True)
    return {"label": label or settings, "settings": settings, "figures": numbers, "pictures": pictures}


def table(rows: list[dict[str, Any]]) -> str:
    names = [name for name in max((r["figures"] for r in rows), key=len) if "error" not in name]
    return markdown.table([
        {"": f"({chr(97 + k)})", "noising": r["label"]}
        | {name: f"{r['figures'][name]:.3g}" if name in r["figures"] else "" for name in names}
        for k, r in enumerate(rows)
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=ROWS, help="in the order of the figure; all if none is given")
    parser.add_argument("--draws", type=int, default=500, help="of 4 channels each")
    parser.add_argument("--scene", type=Path, metavar="RUN", help="run folder, whose scene is looked at (an ideal one)")
    parser.add_argument("--at", type=int, metavar="STEPS", help="taken by that run (those of its checkpoint)")
    parser.add_argument("--out", type=Path, default=Path("outputs/fig5"))
    sweeps.start(parser, _main)


def _main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    place = of_run(args.scene, args.at) if args.scene else ideal()
    rows = [row(spec, args.draws, place) for spec in args.rows]
    kept = [{k: v for k, v in r.items() if k != "pictures"} for r in rows]
    sweeps.publish(args.out, draw(rows), {"scene": place.sight.name, "draws": args.draws, "rows": kept}, table(rows))


def draw(rows: list[dict[str, Any]]) -> Any:
    titles = [
        r"noise $\mathbf{n}_i$", r"neighbour $\mathbf{n}_j$, 5°", r"covariance of $\mathbf{n}_j$",
        r"cross-covariance", r"distribution of $\mathbf{n}_j$", "",
    ]  # fmt: skip
    figure = plots.figure(10.6, 1.3 * len(rows) + 0.75)
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for k, (r, line) in enumerate(zip(rows, axes, strict=True)):
        heat = draw_row(r, line)
        line[0].set_ylabel(f"({chr(97 + k)}) " + textwrap.fill(r["label"], 15), fontsize=9)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10, pad=5)
    for line in axes[:-1]:
        line[4].set_xticklabels([])
    bar = figure.colorbar(heat, ax=axes[-1, 2:4], orientation="horizontal", ticks=[-0.8, 0, 0.8], aspect=30)
    bar.ax.tick_params(labelsize=7.5, length=2)
    return figure


def draw_row(r: dict[str, Any], line: Any) -> Any:
    pictures = r["pictures"]
    for axis, image in zip(line, pictures["maps"], strict=False):
        axis.imshow(image, cmap="gray", vmin=-2.5, vmax=2.5, interpolation="nearest")
    for axis, name in zip(line[2:], ("covariance", "cross"), strict=False):
        heat = axis.imshow(pictures[name], cmap="RdBu_r", vmin=-0.8, vmax=0.8, interpolation="nearest")
    for axis in line[:4]:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
    x, histogram = np.linspace(-4, 4, 200), pictures["histogram"]
    line[4].stairs(histogram, BINS, fill=True, color="#8fb3d9")
    line[4].plot(x, np.exp(-x * x / 2) / np.sqrt(2 * np.pi), "k--", lw=0.9)
    line[4].set(xlim=(-4, 4), yticks=[], xticks=[-3, 0, 3], ylim=(0, max(0.47, 1.08 * histogram.max())), box_aspect=1)
    line[4].tick_params(labelsize=7, length=2)
    line[4].spines["left"].set_visible(False)
    line[5].axis("off")
    lines = statements(r["figures"])
    for height, (text, good) in zip(np.linspace(0.93, 0.07, len(lines)), lines, strict=True):
        colour = "black" if good else "#c00000"
        line[5].text(0, height, text, color=colour, va="center", fontsize=8.5, transform=line[5].transAxes)
    return heat


def statements(f: dict[str, float]) -> list[tuple[str, bool]]:
    """The lines beside a row, and whether N(0, I) maps would have such numbers."""
    near = "  ".join(f"{angle:g}°: {f[f'correlation, {angle:g}°']:.2f}".replace("-0.0", "0.0") for angle in ANGLES)
    p = f"= {f['KS p']:.2f}" if f["KS p"] > 0.005 else f"= {f['KS p']:.4f}" if f["KS p"] > 1e-4 else "< 0.0001"
    third = f"{f[THIRD]:.2f}" if THIRD in f else "two views only"
    return [
        (f"variance {f['variance']:.3f}", abs(f["variance"] - 1) < ONE * f["variance error"]),
        (f"Kolmogorov-Smirnov p {p}", f["KS p"] > 1e-4),
        (f"off-diagonal energy {f['off-diagonal']:.3f}", abs(f["off-diagonal"] - 1) < ONE * f["off-diagonal error"]),
        (f"correlation {near}", True),
        (f"{THIRD}: {third}".replace("-0.0", "0.0"), True),
        (f"{f['ms per view']:.2f} ms per view", True),
    ]


if __name__ == "__main__":
    main()
