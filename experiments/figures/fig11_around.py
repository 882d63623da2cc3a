"""Fig. 11 of the paper: a full turn of ProlificDreamer with 3DFuse, as usual and with GSD, and the noise of its views.

    python experiments/figures/fig11_around.py --run scale=laptop   # minutes, with the models that come with gsd

Above, both scenes from every 30 degrees. Below, the scene with GSD from views 5 degrees apart and the noise that a step
would give these: random maps share nothing, the pattern of 3D consistent ones goes with the surface (follow the mark,
which is one point of it in all pictures). The noise of the background is dimmed.

Writes figure.png and figure.pdf, and result.json: the correlation of noise at pixels that two views share, of views
next to each other (5 degrees) and of those shown above (30), over the whole turn.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import gallery
import sweeps
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.cli.errors import guarded
from gsd.geometry import co_visible, correspond, geometry_at, sample, turntable
from gsd.random import Stream
from gsd.results.measure import render_turntable
from gsd.tools.noising_check import configured
from gsd.tools.scene import load
from gsd.types import Cameras, Render

FIGURE = gallery.Gallery(
    name="fig11",
    title="A full turn",
    methods={"ProlificDreamer": "experiment=prolificdreamer_3dfuse", "+ GSD": "experiment=prolificdreamer_3dfuse_gsd"},
)
NOISINGS = {"random noise": ["noising=random"], "3D consistent noise": ["noising=consistent"]}
VIEWS, EVERY, CLOSE = 72, 6, 8  # of the turn; every which is shown above; how many neighbours are shown below
SIZE, MAP, CHANNELS = 256, 64, 4  # pixels of a picture, pixels and channels of a noise map
SEEN, MARGIN = 0.1, 4  # alpha from which a pixel is part of the scene; pixels of a picture left around it
DIMMED = 0.25  # contrast of the background's noise
TOLERANCE = 0.07  # world units: depths this close are the same surface


def main() -> None:
    options = sweeps.parser(__doc__, FIGURE.name)
    options.add_argument("--prompt", default="a full body of a cat with a hat")
    args = options.parse_args()
    guarded(lambda: _main(args))


def _main(args: argparse.Namespace) -> None:
    args.prompts, args.seeds = [args.prompt], 1
    if args.run:
        gallery.launch(FIGURE, args)
    chosen = gallery.select(sweeps.runs_of(args.name), FIGURE, args.prompts, args.overrides)
    turns: dict[str, Render] = {}
    for (name, _), (run, *_) in chosen.items():
        scene, cameras = opened(run.path, run.config["turntable"])
        turns[name] = seen(scene, cameras[::EVERY])
    small = cameras.resized(MAP, MAP)  # of the last scene, the one with GSD, as is all that follows
    show = seen(scene, small)
    maps = {name: noise(settings, scene, small, show) for name, settings in NOISINGS.items()}
    shared = {
        f"{360 / VIEWS * apart:g} degrees": {name: correlation(m, small, show, apart) for name, m in maps.items()}
        for apart in (1, EVERY)
    }
    sweeps.write(args.out, "result.json", {"correlation of views apart by": shared})
    draw(
        turns, seen(scene, cameras[:CLOSE]), {n: m[:CLOSE, 0] for n, m in maps.items()}, followed(small, show), args.out
    )
    for apart, found in shared.items():
        print(f"correlation of views {apart} apart:", ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    print(f"{args.out}/figure.png, figure.pdf, result.json")


def opened(folder: Path, view: dict[str, Any]) -> tuple[Any, Cameras]:
    """A run's scene, and cameras all around it; they are one group, so that they share their noise."""
    scene, _ = load(folder, 0, torch.device("cpu"))
    cameras = turntable(VIEWS, SIZE, view["fov"], view["distance"], view["elevation"])
    return scene, replace(cameras, group=torch.zeros_like(cameras.group))


@torch.no_grad()
def seen(scene: Any, cameras: Cameras) -> Render:
    return render_turntable(scene, cameras)


@torch.no_grad()
def noise(settings: list[str], scene: Any, cameras: Cameras, show: Render) -> Float[Tensor, "V C h w"]:
    geometry = geometry_at(scene.scene(), show, cameras, cameras.height, cameras.width)
    return configured(settings)(geometry, CHANNELS, Stream(0, "fig11"))


@torch.no_grad()
def correlation(maps: Float[Tensor, "V C h w"], cameras: Cameras, show: Render, apart: int) -> float:
    """Over pixels of the object that the view so many further on sees too, at the pixel it sees them in."""
    there = (torch.arange(len(cameras)) + apart) % len(cameras)
    coords, z = correspond(show.depth, cameras, cameras[there])
    both = co_visible(coords, z, show.alpha, show.depth[there], show.alpha[there], TOLERANCE)
    theirs = sample(maps[there], coords, "nearest")
    pairs = torch.stack([maps.movedim(1, -1)[both].flatten(), theirs.movedim(1, -1)[both].flatten()])
    return float(torch.corrcoef(pairs)[0, 1])


@torch.no_grad()
def followed(cameras: Cameras, show: Render) -> Float[Tensor, "CLOSE 2"]:
    """Where the views below see the point of the surface in the middle of the middle one's picture: x, y in shares."""
    middle = CLOSE // 2
    here, those = torch.full((CLOSE,), middle), torch.arange(CLOSE)
    coords, _ = correspond(show.depth[here], cameras[here], cameras[those])
    inside = (show.alpha[middle, 0] > 0.5).nonzero().float()
    row, column = inside[(inside - inside.mean(0)).square().sum(1).argmin()].long().tolist()
    return coords[:, row, column] / torch.tensor([cameras.width, cameras.height])


def window(alphas: list[Float[Tensor, "V 1 H W"]]) -> tuple[int, int, int]:
    """The square of a picture that holds all that is shown: left, top and side, in pixels of SIZE."""
    rows, columns = (
        torch.cat([(a > SEEN).any(3 - k).any(0).flatten().nonzero()[:, 0] for a in alphas]) for k in (0, 1)
    )
    if not len(rows):
        return 0, 0, SIZE
    ends = [(int(x.min()) - MARGIN, int(x.max()) + MARGIN + 1) for x in (columns, rows)]
    side = min(SIZE, max(high - low for low, high in ends))
    left, top = (min(max(0, (low + high - side) // 2), SIZE - side) for low, high in ends)
    return left, top, side


def draw(
    turns: dict[str, Render],
    close: Render,
    maps: dict[str, Float[Tensor, "V h w"]],
    marks: Float[Tensor, "V 2"],
    folder: Path,
) -> None:
    plt = sweeps.pyplot()
    left, top, side = window([show.alpha for show in (*turns.values(), close)])
    columns, large = VIEWS // EVERY, VIEWS // EVERY / CLOSE
    width, height = columns + 1.3, len(turns) + large * (1 + len(maps)) + 0.85
    figure = plt.figure(figsize=(width, height))

    def block(rows: int, across: int, high: float, y: float) -> Any:
        return figure.add_gridspec(
            rows, across, left=1.25 / width, right=0.998, top=1 - y / height, bottom=1 - (y + high) / height,
            wspace=0.03, hspace=0.03,
        )  # fmt: skip

    def put(cell: Any, picture: Float[Tensor, "C H W"], label: str, title: str, mark: Any = None) -> None:
        axis = figure.add_subplot(cell)
        scale = picture.shape[-1] / SIZE
        axis.imshow(picture.movedim(0, -1).clamp(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ends = [(left - 0.5) * scale, (left + side - 0.5) * scale, (top + side - 0.5) * scale, (top - 0.5) * scale]
        axis.axis(ends)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_title(title, fontsize=8, pad=3)
        if mark is not None:
            x, y = (mark * picture.shape[-1] - 0.5).tolist()
            axis.plot(x, y, "o", ms=9, mfc="none", mec="#d00000", mew=1.3)
        if label:
            axis.text(-0.06, 0.5, label, ha="right", va="center", transform=axis.transAxes)

    above = block(len(turns), columns, len(turns), 0.3)
    for row, (name, show) in enumerate(turns.items()):
        for column, picture in enumerate(show.rgb):
            put(above[row, column], picture, "" if column else name, "" if row else f"{360 * column // columns}°")
    below = block(1 + len(maps), CLOSE, large * (1 + len(maps)), len(turns) + 0.8)
    solid = torch.nn.functional.interpolate(close.alpha, (MAP, MAP), mode="area")[:, 0] > 0.5
    for column in range(CLOSE):
        first, mark = column == 0, marks[column]
        put(below[0, column], close.rgb[column], "+ GSD" if first else "", f"{360 * column / VIEWS:g}°", mark)
        for row, (name, each) in enumerate(maps.items(), 1):
            grey = 0.5 + each[column] / 6 * torch.where(solid[column], 1.0, DIMMED)
            label = name.replace(" noise", "\nnoise").replace("3D ", "3D\n") if first else ""
            put(below[row, column], grey.expand(3, -1, -1), label, "", mark)
    for ending in ("png", "pdf"):
        figure.savefig(folder / f"figure.{ending}", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
