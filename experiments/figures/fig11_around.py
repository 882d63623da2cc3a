"""Fig. 11 of the paper: a full turn of ProlificDreamer with 3DFuse, as usual and with GSD, and the noise of its views.

    python experiments/figures/fig11_around.py --run scale=laptop   # minutes, with the models that come with gsd

GSD has several views per step, the baseline one. So the figure also has the baseline with GSD's views, at equal prior
calls. Above, the scenes every 30 degrees. Below, the scene with GSD from views 5 degrees apart and the noise that the
run's own noising would give them at its next step, at the size of the prior's latents: random maps share nothing, the
pattern of 3D consistent ones moves with the surface (follow the mark, which is one point of the surface in all
pictures). The noise of the background is dimmed. The first prompt and seed are shown.

Writes figure.png, figure.pdf and result.json: over the whole turn, the correlation of noise at pixels that two views
share, for views next to each other (5 degrees) and for those shown above (30).
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import replace
from typing import Any

import gallery
import plots
import sweeps
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.geometry import co_visible, correspond, sample, turntable
from gsd.results.measure import render_turntable
from gsd.results.runs import Run
from gsd.results.scene import load
from gsd.tools.noising_check import configured, of_folder
from gsd.tools.run_sights import sights
from gsd.types import Cameras, Geometry, Render

GSD = "+ GSD"  # the method whose noise is shown
FIGURE = gallery.Gallery(
    name="fig11",
    title="A full turn",
    methods={
        "ProlificDreamer": "experiment=prolificdreamer_3dfuse",
        "ProlificDreamer, GSD's views": "experiment=prolificdreamer_3dfuse_gsd noising=random loss=[sparsity,opaque]",
        GSD: "experiment=prolificdreamer_3dfuse_gsd",
    },
    prompts=("a full body of a cat with a hat",),
)
VIEWS, EVERY, CLOSE = 72, 6, 8  # in the turn; every which is shown above; how many neighbours are shown below
SIZE, CHANNELS = 256, 4  # pixels of a picture, channels of a noise map
DIMMED = 0.25  # contrast of the background's noise
TOLERANCE = 0.07  # world units: depths this close are the same surface


def main() -> None:
    sweeps.start(gallery.parser(__doc__, FIGURE), _main)


@torch.no_grad()
def _main(args: argparse.Namespace) -> None:
    chosen = gallery.find(FIGURE, args)
    first = next(prompt for _, prompt in chosen)
    runs = {name: chosen[name, first][0] for name in FIGURE.methods}
    turns = {name: rendered(run, slice(None, None, EVERY)) for name, run in runs.items()}
    close = rendered(runs[GSD], slice(CLOSE))
    (sight,) = sights(runs[GSD].path)
    seen = sight.look(around(runs[GSD]).resized(sight.camera.width, sight.camera.height))
    noisings = {"random noise": configured(["noising=random"]), "the run's noise": of_folder(runs[GSD].path, [])}
    maps = {name: noising(seen, CHANNELS, sight.rng) for name, noising in noisings.items()}
    shared = {
        f"{360 / VIEWS * apart:g} degrees": {name: correlation(m, seen, apart) for name, m in maps.items()}
        for apart in (1, EVERY)
    }
    figure = draw(turns, close, {name: each[:CLOSE, 0] for name, each in maps.items()}, followed(seen))
    sweeps.publish(args.out, figure, {"correlation of views apart by": shared})
    for apart, found in shared.items():
        print(f"correlation of views {apart} apart:", ", ".join(f"{name} {value:.3f}" for name, value in found.items()))


def rendered(run: Run, views: slice) -> Render:
    """A run's scene from some of the views of the turn."""
    scene, _ = load(run.path, 0, torch.device("cpu"))
    return render_turntable(scene, around(run)[views])


def around(run: Run) -> Cameras:
    """The cameras of the turn; they are one group, so that they share their noise."""
    view = run.config["turntable"]
    cameras = turntable(VIEWS, SIZE, view["fov"], view["distance"], view["elevation"])
    return replace(cameras, group=torch.zeros_like(cameras.group))


def correlation(maps: Float[Tensor, "V C h w"], seen: Geometry, apart: int) -> float:
    """Over pixels of the object that the view `apart` views further sees too, at the pixel where it sees them."""
    there = (torch.arange(VIEWS) + apart) % VIEWS
    coords, z = correspond(seen.depth, seen.cameras, seen.cameras[there])
    both = co_visible(coords, z, seen.alpha, seen.depth[there], seen.alpha[there], TOLERANCE)
    theirs = sample(maps[there], coords, "nearest")
    pairs = torch.stack([maps.movedim(1, -1)[both].flatten(), theirs.movedim(1, -1)[both].flatten()])
    return float(torch.corrcoef(pairs)[0, 1])


def followed(seen: Geometry) -> Float[Tensor, "CLOSE 2"]:
    """Where the views below see the surface point at the centre of the middle view: x, y in parts of the sides."""
    middle = CLOSE // 2
    here, those = torch.full((CLOSE,), middle), torch.arange(CLOSE)
    coords, _ = correspond(seen.depth[here], seen.cameras[here], seen.cameras[those])
    inside = (seen.alpha[middle, 0] > 0.5).nonzero().float()
    row, column = inside[(inside - inside.mean(0)).square().sum(1).argmin()].long().tolist()
    return coords[:, row, column] / torch.tensor([seen.cameras.width, seen.cameras.height])


def draw(
    turns: dict[str, Render], close: Render, maps: dict[str, Float[Tensor, "V h w"]], marks: Float[Tensor, "V 2"]
) -> Any:
    left, top, right, bottom = plots.window(alpha for show in (*turns.values(), close) for alpha in show.alpha[:, 0])
    columns, lines = VIEWS // EVERY, 1 + len(maps)
    large = columns / CLOSE  # height of a row below, in rows above
    figure = plots.figure(columns + 1.3, len(turns) + large * lines + 0.85)
    above, below = figure.subfigures(2, 1, height_ratios=(len(turns) + 0.3, large * lines + 0.3))

    def put(axis: Any, picture: Float[Tensor, "C H W"], title: str, label: str, mark: Any = None) -> None:
        size = picture.shape[-1]
        image = picture.movedim(0, -1).clamp(0, 1)
        plots.show(axis, image, title, label, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.axis([left * size - 0.5, right * size - 0.5, bottom * size - 0.5, top * size - 0.5])
        if mark is not None:
            x, y = (mark * size - 0.5).tolist()
            axis.plot(x, y, "o", ms=9, mfc="none", mec="#d00000", mew=1.3)

    axes = above.subplots(len(turns), columns)
    for row, (name, show) in enumerate(turns.items()):
        for column, picture in enumerate(show.rgb):
            title = "" if row else f"{360 * column // columns}°"
            put(axes[row, column], picture, title, "" if column else textwrap.fill(name, 16))
    axes = below.subplots(lines, CLOSE)
    solid = interpolate(close.alpha, next(iter(maps.values())).shape[1:], mode="area")[:, 0] > 0.5
    for column, mark in enumerate(marks):
        put(axes[0, column], close.rgb[column], f"{360 * column / VIEWS:g}°", "" if column else GSD, mark)
        for row, (name, each) in enumerate(maps.items(), 1):
            grey = 0.5 + each[column] / 6 * torch.where(solid[column], 1.0, DIMMED)
            label = "" if column else name.replace(" ", "\n")
            put(axes[row, column], grey.expand(3, -1, -1), "", label, mark)
    return figure


if __name__ == "__main__":
    main()
