"""Fig. 11 of the paper: a full turn of ProlificDreamer with 3DFuse, as usual and with GSD, and the noise of its views.

    python experiments/fig11_around.py --run scale=laptop   # minutes, with the models that come with gsd

The noise maps are those that the scene with GSD gives neighbouring views of the turn: first random ones, which share
nothing, then 3D consistent ones, whose pattern stays on the surface (look at the same spot in the next picture). What
views 30 degrees apart can share is little; --views 72 puts them 5 degrees apart, of which every sixth is shown.

Writes figure.png and figure.pdf, and result.json: the correlation of noise at pixels that neighbouring views share.
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import gallery
import sweeps
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.cli import guarded
from gsd.errors import GsdError
from gsd.export.run import load
from gsd.finish import render_turntable
from gsd.geometry import co_visible, correspond, sample, turntable
from gsd.noising.check import configured
from gsd.pictures import grid, uint8
from gsd.random import Stream
from gsd.types import Cameras, Render

FIGURE = gallery.Gallery(
    name="fig11",
    title="A full turn",
    methods={"ProlificDreamer": "experiment=prolificdreamer_3dfuse", "+ GSD": "experiment=prolificdreamer_3dfuse_gsd"},
)
NOISINGS = {"random noise": ["noising=random"], "3D consistent noise": ["noising=consistent"]}
SHOWN = 12  # views of the turn in the figure
SIZE, MAP, CHANNELS = 256, 64, 4  # pixels of a picture, pixels and channels of a noise map
TOLERANCE = 0.07  # world units: depths this close are the same surface


def main() -> None:
    options = sweeps.parser(__doc__, FIGURE.name)
    options.add_argument("--prompt", default="a full body of a cat with a hat")
    options.add_argument("--views", type=int, default=SHOWN, help=f"of the turn that share their noise ({SHOWN})")
    args = options.parse_args()
    guarded(lambda: _main(args))


def _main(args: argparse.Namespace) -> None:
    if args.views % SHOWN or args.views < SHOWN:
        raise GsdError(f"--views {args.views}: must be a multiple of {SHOWN}, the pictures that are shown.")
    args.prompts, args.seeds = [args.prompt], 1
    if args.run:
        gallery.launch(FIGURE, args)
    chosen = gallery.select(sweeps.runs_of(args.name), FIGURE, args.prompts, args.overrides)
    rows: dict[str, Float[Tensor, "V 3 H W"]] = {}
    for (name, _), (run, *_) in chosen.items():
        scene, cameras, show = around(run.path, run.config["turntable"], args.views)
        rows[name] = show.rgb
    shared = {}
    for name, settings in NOISINGS.items():
        maps = noise(settings, scene, cameras)
        rows[name] = (0.5 + maps[:, :1] / 6).clamp(0, 1).expand(-1, 3, -1, -1)
        shared[name] = correlation_of_neighbours(maps, scene, cameras)
    sweeps.write(args.out, "result.json", {"degrees between views": 360 / args.views, "correlation": shared})
    draw(rows, args.views // SHOWN, args.out)
    print(*(f"{name}: correlation of neighbouring views {value:.3f}" for name, value in shared.items()), sep="\n")
    print(f"{args.out}/figure.png, figure.pdf, result.json")


def around(folder: Path, view: dict[str, Any], views: int) -> tuple[Any, Cameras, Render]:
    """A run's scene, and what cameras all around it see; they are one group, so that they share their noise."""
    scene, _ = load(folder, 0, torch.device("cpu"))
    cameras = turntable(views, SIZE, view["fov"], view["distance"], view["elevation"])
    with torch.no_grad():
        return scene, cameras, render_turntable(scene, cameras)


@torch.no_grad()
def noise(settings: list[str], scene: Any, cameras: Cameras) -> Float[Tensor, "V C h w"]:
    small = replace(cameras.resized(MAP, MAP), group=torch.zeros_like(cameras.group))
    return configured(settings)(
        scene.scene(), render_turntable(scene, small), small, (len(cameras), CHANNELS, MAP, MAP), Stream(0, "fig11")
    )


@torch.no_grad()
def correlation_of_neighbours(maps: Float[Tensor, "V C h w"], scene: Any, cameras: Cameras) -> float:
    """Over pixels of the object that the next view sees too, at the pixel it sees them in."""
    small = cameras.resized(MAP, MAP)
    show = render_turntable(scene, small)
    following = torch.arange(1, len(cameras) + 1) % len(cameras)
    coords, z = correspond(show.depth, small, small[following])
    both = co_visible(coords, z, show.alpha, show.depth[following], show.alpha[following], TOLERANCE)
    there = sample(maps[following], coords, "nearest")
    pairs = torch.stack([maps.movedim(1, -1)[both].flatten(), there.movedim(1, -1)[both].flatten()])
    return float(torch.corrcoef(pairs)[0, 1])


def draw(rows: dict[str, Float[Tensor, "V 3 H W"]], every: int, folder: Path) -> None:
    plt = sweeps.pyplot()
    figure, axes = plt.subplots(len(rows), 1, figsize=(SHOWN + 1.0, len(rows) * 1.06), layout="constrained")
    for axis, (name, pictures) in zip(axes, rows.items(), strict=True):
        axis.imshow(uint8(grid(pictures[None, ::every])), interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(textwrap.fill(name, 14), rotation=0, ha="right", va="center")
    for ending in ("png", "pdf"):
        figure.savefig(folder / f"figure.{ending}", dpi=140)
    plt.close(figure)


if __name__ == "__main__":
    main()
